"""
Takes secrets out of what goes into a support bundle. Pure.

``report`` sends everything through here before it is written. Two rules lie over each other: of values that people
choose (params, inputs, headers, variables, annotations) only those known to be harmless stay, and in every text that
stays, what looks like a secret is replaced. In doubt it is replaced: a bundle is sent to others.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

import orjson

REDACTED: Final = "REDACTED"

Object = Mapping[str, Any]

# -- texts -------------------------------------------------------------------------------------------------------------

_HEADERS: Final = r"(?:proxy-)?authorization|(?:set-)?cookie"
_SECRETIVE: Final = (
    r"x-api-key|api[-_ ]?keys?|access[-_ ]?keys?|private[-_ ]?keys?"
    r"|pass(?:word|wd|phrase)?|pwd|secrets?|tokens?|credentials?|signature"
)
_NAMED: Final = r"(\\?[\"']?\s*[:=]\s*)"
"""Between a name and its value, in YAML, JSON, JSON within JSON, headers and settings."""

_VALUE: Final = r"(?:\\\"[^\"\\]*\\\"|\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|'[^']*(?:'|\Z)|[^\s\"',;&}\]]+)"
_PREFIXES: Final = r"ordt_|gh[pousr]_|github_pat_|glpat-|sk-|xox[a-z]-|AKIA|AIza"
"""How tokens of Ordinaut and of services that agents like to call begin."""

_TEXTS: Final = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL), REDACTED),
    # Headers: the rest of the line is theirs.
    (
        re.compile(rf"(?i)\b({_HEADERS}){_NAMED}(\\?[\"']?)[^\r\n\"'\\]+"),
        rf"\1\2\3{REDACTED}",
    ),
    (re.compile(rf"(?i)(?<![\w-])([\w-]{{0,40}}?(?:{_SECRETIVE})){_NAMED}{_VALUE}"), rf"\1\2{REDACTED}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s\"'<>]{0,256}@"), rf"\1{REDACTED}@"),
    (re.compile(r"([?&][\w.%\[\]-]+=)[^&\s\"'<>]+"), rf"\1{REDACTED}"),
    (re.compile(r"(?<![\w-])eyJ[\w-]{6,}\.[\w-]+\.?[\w-]*"), REDACTED),
    (re.compile(rf"(?<![\w-])(?:{_PREFIXES})[\w-]{{8,}}"), REDACTED),
)
"""
What looks like a secret in any text, and what stands in its place.

Texts are others': every pattern has few places to begin at, or a bounded reach, so that none takes long over any text.
"""

_QUOTED: Final = re.compile(r"\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|(?<!\w)'[^']*(?:'|\Z)", re.DOTALL)


def text(given: str) -> str:
    """Return a text without what looks like a secret."""
    return _remembered(given) if len(given) <= _SHORT else _without_secrets(given)


def _without_secrets(given: str) -> str:
    for pattern, instead in _TEXTS:
        given = pattern.sub(instead, given)
    return given


_SHORT: Final = 100
_remembered: Final = lru_cache(maxsize=4096)(_without_secrets)
"""Logs and objects repeat the same words a thousand times."""


def message(given: str) -> str:
    """Return a message about what somebody wrote, without the values that it repeats in quotes."""
    return text(_QUOTED.sub(f'"{REDACTED}"', given))


# -- logs --------------------------------------------------------------------------------------------------------------

_USERS_EVENTS: Final = frozenset({"std.log"})
"""Lines of the log whose message users have written."""


def log(lines: str) -> str:
    """Return lines of a log without secrets."""
    return "".join(f"{_line(line)}\n" for line in lines.splitlines())


def _line(line: str) -> str:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return text(line)
    if not isinstance(entry, dict):
        return text(line)
    if entry.get("event") in _USERS_EVENTS:
        entry["message"] = REDACTED
    return orjson.dumps(_scrubbed(entry)).decode()


# -- objects of Kubernetes ---------------------------------------------------------------------------------------------

_KEPT_ANNOTATIONS: Final = ("deployment.kubernetes.io/", "meta.helm.sh/", "helm.sh/", "checksum/", "rbac.authorization")
_SECRETIVE_KEY: Final = re.compile(rf"(?i).*(?:{_HEADERS}|{_SECRETIVE}|connection(?:string)?|dsn)$")
_REFERENCES: Final = frozenset({"secretName", "tokenExpirationSeconds", "imagePullSecrets"})
_DATA: Final = frozenset({"data", "binaryData", "stringData", "volumeAttributes", "attributes"})
_OUR_CONTAINERS: Final = frozenset({"operator", "worker", "api", "migrate"})
_CONTAINERS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})


def kubernetes(item: Object) -> dict[str, Any]:
    """Return an object of Kubernetes without secrets; keys stay."""
    made = _object(item)
    metadata = made.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return made


def _object(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _field(key, value) for key, value in given.items()}


def _field(key: str, value: Any) -> Any:  # noqa: PLR0911 - one line for each rule
    if key == "annotations" and isinstance(value, Mapping):
        return _annotations(value)
    if key in _CONTAINERS and isinstance(value, list):
        return [_container(one) for one in value]
    if key == "env" and isinstance(value, list):
        return [_variable(one) for one in value]
    if key == "httpHeaders" and isinstance(value, list):
        return [{**one, "value": REDACTED} for one in value]
    if key in _DATA:
        return blanked(value)
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list):
        return [_field("", one) for one in value]
    if isinstance(value, str):
        return REDACTED if _SECRETIVE_KEY.fullmatch(key) and key not in _REFERENCES else text(value)
    return value


def _annotations(given: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in given.items() if not key.endswith("/last-applied-configuration")}
    return {key: text(value) if key.startswith(_KEPT_ANNOTATIONS) else REDACTED for key, value in kept.items()}


def _container(given: Mapping[str, Any]) -> dict[str, Any]:
    made = _object(given)
    hidden = {"args"} if given.get("name") in _OUR_CONTAINERS else {"args", "command", "lifecycle"}
    return {key: blanked(value) if key in hidden else value for key, value in made.items()}


def _variable(given: Mapping[str, Any]) -> dict[str, Any]:
    if "value" not in given:
        return dict(given)
    kept = text(str(given["value"])) if given.get("name") in harmless_variables() else REDACTED
    return {**given, "value": kept}


@cache
def harmless_variables() -> frozenset[str]:
    """Return the variables whose values are no secrets: our settings that are not marked as such, and a few more."""
    from ordinaut_api.settings import ApiSettings  # noqa: PLC0415 - slow to load
    from ordinaut_operator.settings import OperatorSettings  # noqa: PLC0415 - as above
    from ordinaut_worker.settings import WorkerSettings  # noqa: PLC0415 - as above

    fields = {
        name: field
        for model in (OperatorSettings, WorkerSettings, ApiSettings)
        for name, field in model.model_fields.items()
    }
    own = {f"ORDINAUT_{name.upper()}" for name, field in fields.items() if "SecretStr" not in str(field.annotation)}
    others = {"PGHOST", "PGPORT", "PGDATABASE", "PGSSLMODE", "PGSSLROOTCERT", "POD_NAME", "POD_NAMESPACE"}
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
    return frozenset(own | others | traces)


def blanked(value: Any) -> Any:
    """Return a value with the same keys and lengths, and nothing else of it."""
    if isinstance(value, Mapping):
        return {key: blanked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [blanked(one) for one in value]
    return value if value is None or isinstance(value, bool) else REDACTED


def _scrubbed(value: Any, *, key: str = "") -> Any:
    """Return a value of a log with the texts in it scrubbed."""
    if isinstance(value, Mapping):
        return {name: _scrubbed(one, key=str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_scrubbed(one, key=key) for one in value]
    if isinstance(value, str):
        return REDACTED if _SECRETIVE_KEY.fullmatch(key) else text(value)
    return value


# -- our own resources -------------------------------------------------------------------------------------------------

_USERS_VALUES: Final = frozenset(
    {"params", "with", "headers", "auth", "body", "output", "inputSchema", "outputSchema", "if", "forEach", "default"}
)
"""Fields of our objects whose content users choose: their keys stay, their values go."""

_PLAIN: Final = frozenset(
    {
        *("id", "uses", "name", "url", "method", "cron", "timeZone", "at", "rrule", "every", "start", "end", "jitter"),
        *("policy", "maxAge", "concurrencyPolicy", "timeout", "onError", "backoff", "limit", "duration", "factor"),
        *("maxDuration", "on", "queue", "topic", "style", "key"),
    }
)
"""Fields whose texts say how something runs."""


def resource(item: Object) -> dict[str, Any]:
    """Return a Task, Pipeline, Tool or Hook without what its steps are given and without values in messages."""
    made = kubernetes(item)
    if isinstance(item.get("spec"), Mapping):
        made["spec"] = _spec(item["spec"])
    status = made.get("status")
    if isinstance(status, dict):
        for condition in status.get("conditions") or ():
            condition["message"] = message(str(condition.get("message", "")))
        if isinstance(status.get("lastRun"), dict) and "message" in status["lastRun"]:
            status["lastRun"]["message"] = REDACTED
    return made


def _spec(value: Any, *, key: str = "") -> Any:
    if key in _USERS_VALUES:
        return blanked(value)
    if isinstance(value, Mapping):
        return {name: _spec(one, key=name) for name, one in value.items()}
    if isinstance(value, list):
        return [_spec(one, key=key) for one in value]
    if isinstance(value, str):
        return text(value) if key in _PLAIN else REDACTED
    return value


def all_of(kind: str, items: Iterable[Object]) -> list[dict[str, Any]]:
    """Return the objects of a kind, by its plural, without secrets."""
    redact = resource if kind in {"tasks", "pipelines", "tools", "hooks"} else kubernetes
    return [redact(item) for item in items]
