import sys, json, time, copy, dataclasses, math
from pathlib import Path
sys.path.insert(0, "TEACHER")
import numpy as np, torch
from torch import Tensor
import study
from ddpm.config import params
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.metrics.record import score
from ddpm.model import checkpoint
from ddpm.sampling import generate
from ddpm.runtime import philox
from ddpm.training import batches, loop
from ddpm.training.setup import checkpoint_config, new_state, train_config
from ddpm.diffusion.denoiser import Denoiser, per_image, WEIGHTINGS
from ddpm.diffusion.samplers import table as samplers

opt = json.loads(sys.argv[1])
name = opt.pop("name")
o = dict(kind="cd", n=16, w=1.35, lo=0.3, hi=100.0, order=1, loss="l2", weight="output", images=16000, lr=0.0005, muon_lr=0.005, ema=1600, batch=32, label_dropout=0.0, seed=0, warmup=320, decay=0.5, teacher="TEACHER", count=2000, grid="uniform", eval=[[1,"trailing"],[2,"trailing"],[4,"trailing"]], base=0.0, multi=1)
o.update(opt)
teacher = checkpoint.load(Path(o["teacher"]))
T = teacher.denoiser
null = len(teacher.classes)

def estimate(den, y, sigma, labels):
    return den(y, sigma, labels)

@torch.no_grad()
def guided(y, sigma, labels):
    """sigma (B,) -> D guided within the interval."""
    inside = (sigma >= o["lo"]) & (sigma <= o["hi"])
    n = int(inside.sum())
    if o["w"] == 1 or n == 0:
        return T(y, sigma, labels)
    idx = inside.nonzero()[:, 0]
    both = T(torch.cat([y, y[idx]]), torch.cat([sigma, sigma[idx]]), torch.cat([labels, torch.full_like(labels[idx], null)]))
    good, bad = both[:len(y)], both[len(y):]
    out = good.clone()
    out[idx] = bad + o["w"] * (good[idx] - bad)
    return out.clamp(-1, 1)

def step(y, s, r, labels):
    d = guided(y, s, labels)
    e = lambda v: per_image(v, y)
    ratio = r / s
    if o["order"] == 2:
        # midpoint in log sigma (DPM-Solver-2S), only where r > 0
        rr = torch.where(r > 0, r, s * 0.02)
        m = (s * rr).sqrt()
        ym = d + e(m / s) * (y - d)
        dm = guided(ym, m, labels)
        return dm + e(ratio) * (y - dm)
    return d + e(ratio) * (y - d)

table = T.sigmas
def lower(sigma, gap):
    i = torch.searchsorted(table, sigma) - gap
    return torch.where(i >= 0, table[i.clamp(min=0)], 0.0)

state_holder = {}
def distance(a, b, sigma, r, den):
    err = a - b
    row = den.coefficients(sigma)
    dims = tuple(range(1, err.ndim))
    if o["weight"] == "output":
        w = row.out**-2
    elif o["weight"] == "one":
        w = torch.ones_like(sigma)
    elif o["weight"] == "inv":
        w = 1/(sigma - r)
    elif o["weight"] == "snr1":
        w = 1 + sigma**-2 * 0.25
    elif o["weight"] == "sq":
        w = (row.out**-2).sqrt()
    if o["loss"] == "l2":
        return w.float() * err.square().mean(dims)
    if o["loss"] == "huber":
        c = 0.00054 * math.sqrt(err[0].numel())
        return w.float().sqrt() * ((err.square().sum(dims) + c*c).sqrt() - c) / math.sqrt(err[0].numel())
    if o["loss"] == "adapt":
        m = err.square().mean(dims)
        return w.float() * m / (m.detach().sqrt() + 0.01)
    if o["loss"] == "l1":
        return w.float().sqrt() * err.abs().mean(dims)

def traj_loss(den, x, sigma, noise, labels):
    K, n = o["K"], o["n"]
    gap = len(table) / n
    grid = [round(gap * (i + 1)) - 1 for i in range(n)][::-1]
    levels = [table[i].item() for i in grid] + [0.0]
    g = len(x) // K
    y = den.process.prior * noise[::K]
    lab = labels[::K]
    path, prev = [], None
    with torch.no_grad():
        for i in range(n):
            s, r = levels[i], levels[i + 1]
            path.append(y)
            d = guided(y, torch.full((g,), s, dtype=torch.float64), lab)
            mid = d
            if prev is not None and r > 0 and o["order"] == 2:
                ratio = math.log(levels[i-1] / s) / math.log(s / r)
                mid = d + (d - prev) / (2 * ratio)
            y = mid + r / s * (y - mid)
            prev = d
        end = y.clamp(-1, 1)
    paths = torch.stack(path, 1)  # g, n, ...
    st = state_holder["s"]
    gen = torch.Generator().manual_seed(st.step * 7919 + 1)
    # stratified: K of n levels, per image
    u = (torch.arange(K) + torch.rand(g, 1, generator=gen)) / K
    if o.get("first"):
        u[:, 0] = 0
    idx = (u * n).long().clamp(max=n - 1)
    yy = paths[torch.arange(g)[:, None], idx].flatten(0, 1)
    ss = torch.tensor(levels[:n], dtype=torch.float64)[idx].flatten()
    ll = lab.repeat_interleave(K)
    tgt = end.repeat_interleave(K, 0)
    pred = den(yy.contiguous(memory_format=torch.channels_last), ss, ll)
    return distance(pred, tgt, ss, torch.zeros_like(ss), den)

def loss(den, x, sigma, noise, labels, weighting, condition=None):
    if o["kind"] == "traj":
        return traj_loss(den, x, sigma, noise, labels)
    st = state_holder["s"]
    progress = st.step / state_holder["steps"]
    y = x + per_image(sigma, x) * noise
    if o["kind"] == "cd":
        n = o["n"]
        if isinstance(n, list):
            n = n[min(len(n) - 1, int(progress * len(n)))]
        gap = round(len(table) / n)
        r = lower(sigma, gap)
        if o["multi"] == "chain":
            pass
        yr = step(y, sigma, r, labels)
        with torch.no_grad():
            tgt = torch.where(per_image(r, x) > 0, den(yr, r.clamp(min=1e-3), labels), yr).clamp(-1, 1)
    elif o["kind"] == "full":  # teacher's solve to 0 on n steps of the table
        gap = round(len(table) / o["n"])
        s, yr = sigma, y
        while bool((s > 0).any()):
            r = lower(s, gap)
            live = s > 0
            idx = live.nonzero()[:, 0]
            yn = yr.clone()
            yn[idx] = step(yr[idx], s[idx], r[idx], labels[idx])
            yr, s = yn, r
        tgt, r = yr, torch.zeros_like(sigma)
    elif o["kind"] == "ect":
        k = 1 + int(progress * o["n"])
        ratio = 1 - 1 / 2**k if o.get("expo") else 1 - 1/(k+1)
        r = sigma * ratio * (progress > 0)
        yr = x + per_image(r, x) * noise
        with torch.no_grad():
            tgt = torch.where(per_image(r, x) > 0, den(yr, r.clamp(min=1e-3), labels), yr)
    pred = den(y, sigma, labels)
    return distance(pred, tgt, sigma, r, den)

Denoiser.loss = loss

base = params.read_yaml(Path("TEACHER.yaml"))
settings = study.varied(base, {"train.images": o["images"], "train.lr": o["lr"], "train.muon_lr": o["muon_lr"], "train.ema": o["ema"], "train.batch": o["batch"], "train.label_dropout": o["label_dropout"], "train.seed": o["seed"], "train.warmup": o["warmup"], "train.decay": o["decay"], "train.snapshots": 0, "sample.guidance": 1.0, "sample.guidance_interval": None})
data = prepared.load()
config = checkpoint_config(settings, data.images.shape[1], data.images.shape[3], data.classes)
where = torch.device("cpu")
st = new_state(config, settings.train, where, Path(o["teacher"]))
tc = train_config(settings)
state_holder.update(s=st, steps=tc.steps)
ts = batches.in_memory(data.images, data.labels, data.train_indices, len(data.classes), where)
# levels
process = st.denoiser.process
n0 = o["n"][-1] if isinstance(o["n"], list) else o["n"]
gap0 = round(len(table) / n0)
if o["grid"] == "discrete":
    grid = torch.arange(gap0 - 1, len(table), gap0)
    draw = lambda u: table[grid[(u * len(grid)).long()]]
elif o["grid"] == "uniform":
    draw = process.draw
elif o["grid"] == "hi":   # bias to high noise
    draw = lambda u: process.draw(u.sqrt())
st.denoiser.process = dataclasses.replace(process, draw=draw)
t0, c0 = time.monotonic(), time.process_time()
def log(images, v): print(images, {k: round(x, 5) for k, x in v.items()}, round(time.process_time() - c0, 1), flush=True)
nothing = lambda *a: None
def consistency(denoise, y, sigmas, noise, *, callback=samplers.no_callback):
    v = sigmas.tolist()
    for i, (s, l) in enumerate(zip(v, v[1:])):
        x0 = denoise(y, s); callback(i, y, x0)
        y = x0 + l * noise(i) if l > 0 else x0
    return y
samplers.SAMPLERS["euler"] = dataclasses.replace(samplers.SAMPLERS["euler"], draw=lambda d, y, s, n, callback=samplers.no_callback, **k: consistency(d, y, s, n, callback=callback))
extractor, real = reference.load()
def evaluate(weights, tag):
    den = copy.deepcopy(st.denoiser); den.load_state_dict(weights)
    model = checkpoint.Model(den.requires_grad_(False).eval(), config, "")
    res = {}
    for steps, spacing in o["eval"]:
        s = generate.Sampling(sampler="euler", steps=steps, spacing=spacing, guidance=1.0)
        drawn = generate.generate(model, o["count"], s, seed=10000 * o["seed"])
        labels = np.array(generate.default_labels(len(drawn), len(model.classes)))
        sc = score(drawn, labels, extractor, real, splits=settings.evaluate.splits)
        res[f"{steps}{spacing[0]}"] = [round(sc[k], 3) for k in ("fid", "recall", "precision", "memorisation_ratio", "class_accuracy")]
    row = {"name": name, "tag": tag, **{k: v for k, v in o.items() if k not in ("eval", "teacher")}, "cpu": round(time.process_time() - c0), "res": res}
    print(json.dumps(row), flush=True)
    open("TEACHER.jsonl", "a").write(json.dumps(row) + "\n")
if o["images"] > 0:
    loop.fit(st, ts, tc, log=log, preview=nothing, save=nothing, should_stop=lambda: False)
print("train cpu", time.process_time() - c0, "wall", time.monotonic() - t0)
evaluate(st.ema, "ema")
if o.get("save"): checkpoint.save(Path(o["save"]), config, st.ema, st.denoiser.state_dict())
