"""The Pod Security Standards' `restricted` profile, as far as a manifest of deploy/ can break it."""

VOLUMES = {"configMap", "emptyDir", "secret", "projected", "downwardAPI"}


def broken(spec):
    """What a pod's spec breaks of it, in words; nothing where it keeps to it."""
    pod = spec.get("securityContext", {})
    if any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares the host's namespaces"
    if not all(set(v) & VOLUMES for v in spec.get("volumes", [])):
        yield "a volume type that is not allowed"
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        both = {**pod, **own}
        held = {
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "hostPort": not any("hostPort" in p for p in container.get("ports", [])),
        }
        yield from (f"{container['name']}: {what}" for what, holds in held.items() if not holds)
