"""What the schema says of values beside their types: choices, bounds, forms, and what lists and free maps hold."""

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECT: Final[Schema] = {"type": "object", "additionalProperties": True}
_OBJECTS: Final[Schema] = {"type": "array", "items": {"type": "object"}}
_AMOUNTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_PODS: Final[Schema] = {"type": ["integer", "string"], "pattern": "^[0-9]+%?$", "minimum": 0}
_PORTS: Final[Schema] = {"minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
_DURATION: Final[Schema] = {"pattern": "^([0-9]+(ms|s|m|h))+$"}
_DIGEST: Final[Schema] = {"pattern": "^(sha256:[0-9a-f]{64})?$"}
_NAME: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_NAME_OR_NONE: Final[Schema] = {"pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", "maxLength": 63}
_USER: Final[Schema] = {"type": ["integer", "null"], "minimum": 1}  # null: whom the cluster gives
_QUEUES: Final[Schema] = {
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "string", "pattern": r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", "maxLength": 63},
}
_ORIGIN: Final = r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$"
_PROBE: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        key: {"type": "integer", "minimum": least}
        for key, least in {
            "failureThreshold": 1,
            "initialDelaySeconds": 0,
            "periodSeconds": 1,
            "successThreshold": 1,
            "terminationGracePeriodSeconds": 1,
            "timeoutSeconds": 1,
        }.items()
    },
}


def _choice(*values: str) -> Schema:
    return {"enum": list(values)}


def _least(minimum: int, maximum: int | None = None) -> Schema:
    return {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})


RULES: Final[Mapping[str, Schema]] = {
    "global": {"additionalProperties": True},
    "global.imagePullSecrets": {
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    },
    "nameOverride": _NAME_OR_NONE,
    "fullnameOverride": _NAME_OR_NONE,
    "namespaceOverride": _NAME_OR_NONE,
    "*.digest": _DIGEST,
    "image.pullPolicy": _choice("Always", "IfNotPresent", "Never"),
    "watchNamespaces": {"uniqueItems": True, "items": {"type": "string", "pattern": _NAME, "maxLength": 63}},
    "authentication.modes": {"minItems": 1, "uniqueItems": True, "items": {"type": "string"}},
    "authentication.audience": {"minLength": 1},
    "authentication.accessFile.key": {"minLength": 1},
    "authentication.oidc.usernameClaim": {"minLength": 1},
    "authentication.oidc.groupsClaim": {"minLength": 1},
    "database.tls.mode": _choice("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "database.cnpg.instances": _least(1),
    "database.cnpg.parameters": TEXTS,
    "database.cnpg.resources": _OBJECT,
    "database.cnpg.spec": _OBJECT,
    "redis.keys.uri": {"minLength": 1},
    "migrations.mode": _choice("auto", "hook", "job", "none"),
    "migrations.backoffLimit": _least(0),
    "migrations.activeDeadlineSeconds": _least(1),
    "migrations.ttlSecondsAfterFinished": _least(0),
    "defaults.revisionHistoryLimit": _least(0),
    "defaults.updateStrategy.type": _choice("RollingUpdate", "Recreate"),
    "defaults.updateStrategy.rollingUpdate": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"maxUnavailable": _PODS, "maxSurge": _PODS},
    },
    "defaults.tolerations": _OBJECTS,
    "defaults.affinity": _OBJECT,
    "defaults.topologySpreadConstraints": _OBJECTS,
    "defaults.podSecurityContext": _OBJECT,
    "*.runAsUser": _USER,
    "*.runAsGroup": _USER,
    "*.fsGroup": _USER,
    "defaults.podSecurityContext.seccompProfile": _OBJECT,
    "defaults.containerSecurityContext": _OBJECT,
    "defaults.containerSecurityContext.capabilities": _OBJECT,
    "defaults.probes.startup": _PROBE,
    "defaults.probes.liveness": _PROBE,
    "defaults.probes.readiness": _PROBE,
    "defaults.extraEnv": {
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    },
    "defaults.extraEnvFrom": _OBJECTS,
    "defaults.extraVolumes": _OBJECTS,
    "defaults.extraVolumeMounts": _OBJECTS,
    "defaults.extraInitContainers": _OBJECTS,
    "defaults.extraContainers": _OBJECTS,
    "defaults.extraPodSpec": _OBJECT,
    "*.podAnnotations": TEXTS,
    "*.requests": _AMOUNTS,
    "*.limits": _AMOUNTS,
    "*.podDisruptionBudget.maxUnavailable": _PODS,
    "*.replicas": _least(0),
    "*.minReplicas": _least(1),
    "*.maxReplicas": _least(1),
    "*.targetCPUUtilizationPercentage": _least(1),
    "*.behavior": _OBJECT,
    "*.terminationGracePeriodSeconds": _least(1),
    "operator.historyDays": _least(1),
    "operator.eventDays": _least(1),
    "operator.auditDays": _least(1),
    "operator.maxHops": _least(1, 100),
    "operator.maxDeliveries": _least(1, 1000),
    "worker.queues": _QUEUES,
    "worker.concurrency": _least(1, 1000),
    "worker.leaseSeconds": _least(1, 3600),
    "worker.stepTimeoutSeconds": _least(1),
    "worker.drainSeconds": _least(0),
    "worker.terminationGracePeriodSeconds": {"type": ["integer", "null"], "minimum": 1},
    "worker.keda.minReplicas": _least(0),
    "worker.keda.pollingInterval": _least(1),
    "worker.keda.cooldownPeriod": _least(0),
    "worker.keda.runsPerReplica": _least(1),
    "worker.keda.dueWithinSeconds": _least(0, 3600),
    "worker.keda.connectionSecret.key": {"minLength": 1},
    "worker.keda.fallback.failureThreshold": _least(1),
    "worker.keda.fallback.behavior": _choice(
        "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"
    ),
    "workerPools": {
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "queues"],
            "properties": {
                "name": {"type": "string", "description": "Part of the names of its objects.", "maxLength": 30}
                | {"pattern": _NAME},
                "serviceAccount": {
                    "type": "object",
                    "description": "Its service account; by default that of `worker`.",
                    "additionalProperties": False,
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "description": "Name of one that there is."}},
                },
            },
        },
    },
    "api.poolSize": _least(1, 100),
    "api.maxStreams": _least(1, 10_000),
    "api.corsOrigins": {"items": {"type": "string", "pattern": _ORIGIN}},
    "api.forwardedAllowIPs": {"items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"}},
    "api.rateLimit.requestsPerMinute": _least(0, 1_000_000),
    "api.rateLimit.failuresPerMinute": _least(0, 1_000_000),
    "api.limits": {"additionalProperties": False},  # these are no resources of a container
    "api.limits.tasks": _least(0),
    "api.limits.pipelines": _least(0),
    "api.limits.tools": _least(0),
    "api.limits.hooks": _least(0),
    "api.preStopSleepSeconds": _least(0),
    "api.service.type": _choice("ClusterIP", "NodePort", "LoadBalancer"),
    "api.service.port": _least(1, 65535),
    "api.service.ipFamilyPolicy": _choice("", "SingleStack", "PreferDualStack", "RequireDualStack"),
    "api.ingress.hosts": {"items": {"type": "string", "minLength": 1}},
    "api.ingress.tls": _OBJECTS,
    "api.httpRoute.timeouts": TEXTS,
    "api.httpRoute.parentRefs": _OBJECTS,
    "api.httpRoute.hostnames": {"items": {"type": "string", "minLength": 1}},
    "logging.level": _choice("debug", "info", "warning", "error"),
    "logging.format": _choice("json", "console"),
    "tracing.otlpEndpoint": {"pattern": "^(https?://.+)?$"},
    "tracing.sampleRatio": {"minimum": 0, "maximum": 1},
    "metrics.renderMode": _choice("failIfMissing", "skipIfMissing", "alwaysRender"),
    "*.interval": _DURATION,
    "*.scrapeTimeout": _DURATION,
    "*.relabelings": _OBJECTS,
    "*.metricRelabelings": _OBJECTS,
    "metrics.prometheusRule.disabled": {"items": {"type": "string", "pattern": "^Ordinaut[A-Za-z]+$"}},
    "metrics.prometheusRule.thresholds": {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^Ordinaut[A-Za-z]+$": {"type": "number", "minimum": 0}},
    },
    "metrics.dashboards.grafanaOperator.instanceSelector": _OBJECT,
    "networkPolicy.flavor": _choice("kubernetes", "cilium"),
    "networkPolicy.apiServer.cidrs": {"items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}},
    "networkPolicy.dnsPorts": _PORTS,
    "*.ports": _PORTS,
    "networkPolicy.database.to": _OBJECTS,
    "networkPolicy.redis.to": _OBJECTS,
    "networkPolicy.metricsFrom": _OBJECTS,
    "networkPolicy.apiFrom": _OBJECTS,
    "networkPolicy.extraEgress.operator": _OBJECTS,
    "networkPolicy.extraEgress.worker": _OBJECTS,
    "networkPolicy.extraEgress.api": _OBJECTS,
    "networkPolicy.workerEgress": _choice("any", "listed"),
    "extraObjects": {"items": {"type": ["object", "string"]}},
}
"""What a default does not tell, by the path of the key; `*.` stands for every path that ends so and has no own rule."""
