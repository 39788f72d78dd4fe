"""Trials: changes of parameters, trained and compared with the champion without touching the project.

`ddpm try` and `ddpm study` share this engine. A trial is one training: parameters, changes, seed. Its name derives from
everything that shapes its result, so the same command finds what it has finished and continues what was interrupted.

Trials run in the sandbox, a clone of HEAD with the uncommitted changes, in DVC's folder for experiments
(`.dvc/tmp/exps/trials`). `dvc exp run --temp` was not used: for a moment it stashes and resets the user's own working
tree, where a kill would lose edits and a running pipeline would see its inputs change, and it starts a new folder after
a kill. The sandbox keeps DVC's state between trials and after a kill, shares DVC's cache and the project's `.state`
(checkpoints, record of runs), and each finished trial is saved by `dvc exp save`, so that `dvc exp show` lists it.

Nothing is registered, promoted or sent before `ddpm try --keep`.
"""
