// Signs a browser in. The secret may stand after the # of the address, which browsers do not send to servers.
const form = document.querySelector("form");
const fragment = decodeURIComponent(location.hash.slice(1));
const isRoute = fragment === "" || fragment.startsWith("/"); // MLflow's own pages stand after the # as well
const asked = new URLSearchParams(location.search).get("next") || "/";
const next = /^\/(?![/\\])/.test(asked) ? asked : "/";

async function signIn(secret) {
  const answer = await fetch("/ddpm/sign-in", { method: "POST", body: secret });
  if (!answer.ok) return false;
  if (secret && document.documentElement.dataset.server === "prefect") {
    localStorage.setItem("prefect-password", btoa(secret)); // where Prefect's page looks for it
  }
  location.replace(next + (isRoute && fragment ? "#" + fragment : ""));
  return true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!(await signIn(form.elements.secret.value.trim()))) {
    form.querySelector("[role=alert]").textContent = "That is not the secret of this server.";
  }
});
if (!isRoute) history.replaceState(null, "", location.pathname + location.search);
signIn(isRoute ? "" : fragment);
