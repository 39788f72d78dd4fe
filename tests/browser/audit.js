// What an accessibility check says of a page: pictures without words, headings out of order, text of too little contrast.
(() => {
  const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
  const name = (element) => element.tagName.toLowerCase() + " " + element.textContent.trim().slice(0, 40);

  const numbers = (colour) => {
    const found = colour.match(/[\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
  };
  const over = (top, below) => top.rgb.map((value, i) => value * top.alpha + below[i] * (1 - top.alpha));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(numbers(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  // Relative luminance and contrast of WCAG 2.2.
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };

  const faint = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !seen(element)) continue;
    texts += 1;
    const style = getComputedStyle(element), paper = behind(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(over(numbers(style.color), paper), paper);
    if (found < (large ? 3 : 4.5)) faint.push(`${name(element)}: ${found.toFixed(2)}`);
  }

  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((each) => Number(each.tagName[1]));
  const jumps = levels.filter((level, i) => (i === 0 ? level !== 1 : level > levels[i - 1] + 1));
  return {
    texts,
    faint,
    jumps,
    tops: levels.filter((level) => level === 1).length,
    wordless: [...document.images].filter((each) => !each.alt.trim()).length,
    broken: [...document.images].filter((each) => !each.naturalWidth).length,
    nameless: [...document.querySelectorAll("button, a, summary, [tabindex]")].filter(
      (each) => !each.textContent.trim() && !each.getAttribute("aria-label")).map(name),
    twice: [...document.querySelectorAll("[id]")].map((each) => each.id).filter((id, i, all) => all.indexOf(id) !== i),
    language: document.documentElement.lang,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
})()
