"""A model in a process of its own, forked from one that has done its imports.

    a node's keeper ── starts ──> zygote (imports torch, diffusers, all families; runs nothing)
                                    │ forks, watches, kills
    replica: proxy.ModelProcess ── frames over a socket pair ──> child: a Family, one model loaded

The replica imports no torch and is up at once. The child has its environment (its GPU), writes to its log,
and ends with it. Ending the child is how a model is unloaded: nothing of it stays on the GPU. Without a
zygote (another system than Linux, CYBERIMAGE_PRELOAD=false, or it has just died) the replica starts the same
child as a Python process of its own, which does the imports again.
"""
