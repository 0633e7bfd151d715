"""Validation against the schemas of Kubernetes."""

import kubernetes_validate

VERSION = "1.37"


def schema_error(resource):
    """The error of a resource, or None."""
    # The validator requires a name, which a Job may leave to the API server.
    resource.setdefault("metadata", {}).setdefault("name", "generated")
    try:
        kubernetes_validate.validate(resource, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError, KeyError) as error:
        return f"no schema: {error}"
    return None
