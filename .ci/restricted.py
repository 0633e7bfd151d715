"""The `restricted` profile of the Pod Security Standards, as far as manifests of deploy/ can violate it."""

VOLUMES = {"configMap", "emptyDir", "secret", "projected", "downwardAPI"}


def violations(spec):
    """Yields each violation by the spec of a pod."""
    pod = spec.get("securityContext", {})
    if any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares the host's namespaces"
    if not all(set(v) & VOLUMES for v in spec.get("volumes", [])):
        yield "a volume type that is not allowed"
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        both = {**pod, **own}
        rules = {
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "hostPort": not any("hostPort" in p for p in container.get("ports", [])),
        }
        yield from (f"{container['name']}: {rule}" for rule, holds in rules.items() if not holds)
