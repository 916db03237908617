"""Validates resources of FHIR R5 with fhir.resources.

usage: fhir_resources.py < resources. Prints a list with the fault of each resource, or null.

The package accepts any text as a code, so this script compares codes with the lists of the package.
"""

import json
import sys

from fhir.resources import get_fhir_model_class
from pydantic import BaseModel, ValidationError


def fault(resource):
    try:
        model = get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (KeyError, ValidationError, ValueError) as error:
        return str(error)
    unknown = [*unknown_codes(model)]
    if unknown:
        return f"unknown codes: {unknown}"
    return notification_fault(model) if getattr(model, "type", None) == "subscription-notification" else None


def unknown_codes(value):
    if isinstance(value, list):
        for item in value:
            yield from unknown_codes(item)
    if not isinstance(value, BaseModel):
        return
    for name, field in type(value).model_fields.items():
        found = getattr(value, name)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        known = extra.get("enum_values")
        if known and found is not None and extra.get("enum_reference_types") is None:
            for code in found if isinstance(found, list) else [found]:
                if code not in known:
                    yield f"{type(value).__name__}.{name}: {code}"
        yield from unknown_codes(found)


def notification_fault(bundle):
    """Returns the first violation of a rule of R5 for notifications that the types do not express."""
    first = bundle.entry[0].resource
    if type(first).__name__ != "SubscriptionStatus":
        return "the first entry is no SubscriptionStatus"
    numbers = [int(event.eventNumber) for event in first.notificationEvent or []]
    if first.type == "event-notification" and not numbers:
        return "a notification without an event"
    if numbers != sorted(set(numbers)):
        return f"event numbers out of order: {numbers}"
    if numbers and numbers[-1] > int(first.eventsSinceSubscriptionStart):
        return f"event number {numbers[-1]} is greater than the count"
    entries = [(entry.fullUrl, version(entry.resource)) for entry in bundle.entry]
    if len(entries) != len(set(entries)):
        return "two entries are equal (bdl-7)"
    for entry in bundle.entry:
        if not (entry.resource or entry.request or entry.response):
            return "an empty entry (bdl-5)"
    return None


def version(resource):
    return resource.meta.versionId if resource is not None and resource.meta is not None else None


print(json.dumps([fault(resource) for resource in json.load(sys.stdin)]))
