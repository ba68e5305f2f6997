"""
Examples of what requests hold and what they are answered with; each passes the models, which a test checks.

The times and ids are made up and fit together: one task, a run of it, and what was told about it.
"""

from typing import Any, Final

Example = dict[str, Any]

_API_VERSION: Final = "ordinaut.io/v1alpha1"
_RUN: Final = "01a20673-2d1e-7360-8000-fa4fd7c21cf9"
_BACKFILL: Final = "01a20690-1c5a-7b60-8000-3d2f9a7e1b04"
_RETRY: Final = "01a20681-9b30-7a11-8001-5c0e2f6d8a47"

_TASK_SPEC: Final = {
    "schedules": [{"cron": "30 8 * * 1-5", "timeZone": "Europe/Chisinau"}],
    "pipelineRef": {"name": "morning-briefing"},
    "params": {"city": "Chisinau"},
}
_PIPELINE_SPEC: Final = {
    "steps": [
        {"id": "weather", "uses": "weather.forecast", "with": {"city": "${params.city}"}},
        {"id": "tell", "uses": "std.log", "with": {"message": "${steps.weather.summary}"}},
    ]
}
_TOOL_SPEC: Final = {"http": {"url": "http://weather.tools/forecast"}, "timeout": "10s"}
_HOOK_SPEC: Final = {
    "topic": "github.>",
    "signature": {"style": "GitHub", "secretRefs": [{"name": "github-webhook", "key": "secret"}]},
}

TASK_MANIFEST: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Task",
    "metadata": {"name": "morning-briefing", "labels": {"team": "news"}},
    "spec": _TASK_SPEC,
}
PIPELINE_MANIFEST: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Pipeline",
    "metadata": {"name": "morning-briefing"},
    "spec": _PIPELINE_SPEC,
}
TOOL_MANIFEST: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Tool",
    "metadata": {"name": "weather.forecast"},
    "spec": _TOOL_SPEC,
}
HOOK_MANIFEST: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Hook",
    "metadata": {"name": "github"},
    "spec": _HOOK_SPEC,
}
BATCH: Final[Example] = {"items": [TASK_MANIFEST]}

TASK_PATCH: Final[Example] = {"metadata": {"labels": {"team": None}}, "spec": {"priority": 7}}
PIPELINE_PATCH: Final[Example] = {"spec": {"output": "${steps.weather}"}}
TOOL_PATCH: Final[Example] = {"spec": {"timeout": "20s"}}
HOOK_PATCH: Final[Example] = {"spec": {"topic": "repository.>"}}
DELIVERY: Final[Example] = {"ref": "refs/heads/main", "repository": {"full_name": "team-a/site"}}

RUN_REQUEST: Final[Example] = {"params": {"city": "Iasi"}}
SNOOZE_REQUEST: Final[Example] = {"for": "2h"}
BACKFILL_REQUEST: Final[Example] = {"from": "2026-02-23T00:00:00Z", "to": "2026-03-01T23:59:59Z", "maxActive": 2}
EVENT_REQUEST: Final[Example] = {"type": "mail.received", "subject": "inbox/7", "data": {"from": "ann"}}

_READY: Final = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "reason": "Resolved",
    "message": "the pipeline and its tools are there",
}


def _metadata(name: str) -> Example:
    return {
        "namespace": "team-a",
        "name": name,
        "uid": "5b1f6c2e-8d0c-4f0e-9a4b-0f4f2b7f9a11",
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": "2026-03-02T08:00:00.000Z",
        "origin": "API",
    }


TASK: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Task",
    "metadata": {**_metadata("morning-briefing"), "labels": {"team": "news"}},
    "spec": _TASK_SPEC,
    "status": {
        "observedGeneration": 1,
        "phase": "Scheduled",
        "conditions": [
            _READY,
            {
                "type": "Scheduled",
                "status": "True",
                "observedGeneration": 1,
                "reason": "Scheduled",
                "message": "the schedules will fire again",
            },
        ],
        "schedule": "30 8 * * 1-5",
        "timeZone": "Europe/Chisinau",
        "nextScheduleTime": "2026-03-03T06:30:00Z",
        "upcoming": ["2026-03-03T06:30:00Z", "2026-03-04T06:30:00Z"],
        "active": 0,
        "creator": "system:serviceaccount:team-a:agent",
    },
}
PIPELINE: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Pipeline",
    "metadata": _metadata("morning-briefing"),
    "spec": _PIPELINE_SPEC,
    "status": {"observedGeneration": 1, "conditions": [_READY]},
}
TOOL: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Tool",
    "metadata": _metadata("weather.forecast"),
    "spec": _TOOL_SPEC,
    "status": {"observedGeneration": 1, "conditions": [_READY]},
}
HOOK: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Hook",
    "metadata": _metadata("github"),
    "spec": _HOOK_SPEC,
    "status": {"observedGeneration": 1, "conditions": [_READY]},
}
DELIVERY_ACCEPTED: Final[Example] = {
    "id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "type": "github.push",
    "repeated": False,
}
RUN: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Run",
    "metadata": {
        "namespace": "team-a",
        "name": _RUN,
        "uid": _RUN,
        "creationTimestamp": "2026-03-02T09:12:00.412Z",
    },
    "spec": {
        "task": "morning-briefing",
        "trigger": "manual",
        "priority": 5,
        "params": {"city": "Iasi"},
        "revision": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    "status": {
        "phase": "Running",
        "attempt": 1,
        "startTime": "2026-03-02T09:12:00.420Z",
        "steps": [
            {
                "id": "weather",
                "phase": "Succeeded",
                "attempt": 1,
                "startTime": "2026-03-02T09:12:00.421Z",
                "completionTime": "2026-03-02T09:12:00.733Z",
                "output": {"summary": "sunny"},
            },
            {"id": "tell", "phase": "Running", "attempt": 0},
        ],
    },
}
RETRY: Final[Example] = {
    **RUN,
    "metadata": {**RUN["metadata"], "name": _RETRY, "uid": _RETRY},
    "spec": {**RUN["spec"], "trigger": "retry", "retryOf": _RUN},
}
LISTED_RUN: Final[Example] = {
    **RUN,
    "status": {name: value for name, value in RUN["status"].items() if name != "steps"},
}
BATCH_RESULT: Final[Example] = {
    "items": [{"name": "morning-briefing", "uid": TASK["metadata"]["uid"], "result": "created"}]
}
FIRE: Final[Example] = {
    "scheduledTime": "2026-03-02T06:30:00Z",
    "outcome": "Fired",
    "run": _RUN,
    "decidedAt": "2026-03-02T06:30:00.004Z",
}
EVENT_FIRE: Final[Example] = {
    "event": {"id": "4712-0", "type": "mail.received"},
    "trigger": 0,
    "outcome": "Skipped",
    "reason": "StillRunning",
    "message": "a run was active, and concurrencyPolicy is Forbid",
    "decidedAt": "2026-03-02T09:13:07.019Z",
}
BACKFILL: Final[Example] = {
    "apiVersion": _API_VERSION,
    "kind": "Backfill",
    "metadata": {
        "namespace": "team-a",
        "name": _BACKFILL,
        "uid": _BACKFILL,
        "creationTimestamp": "2026-03-02T09:15:00.127Z",
    },
    "spec": {
        "task": "morning-briefing",
        "from": "2026-02-23T00:00:00Z",
        "to": "2026-03-01T23:59:59Z",
        "maxActive": 2,
    },
    "status": {
        "phase": "Active",
        "times": 5,
        "alreadyFired": 1,
        "toMake": 4,
        "made": 2,
        "active": 2,
        "requestedBy": "system:serviceaccount:team-a:agent",
    },
}
BACKFILL_PLAN: Final[Example] = {
    "from": "2026-02-23T00:00:00Z",
    "to": "2026-03-01T23:59:59Z",
    "times": 5,
    "alreadyFired": 1,
    "toMake": 4,
    "items": ["2026-02-23T06:30:00Z", "2026-02-24T06:30:00Z", "2026-02-26T06:30:00Z", "2026-02-27T06:30:00Z"],
}
VERIFICATION: Final[Example] = {
    "task": "morning-briefing",
    "since": "2026-02-02T08:00:00.000Z",
    "after": "2026-02-02T08:00:00.000Z",
    "until": "2026-03-02T06:30:00.004Z",
    "nominal": 20,
    "fired": 18,
    "skipped": 1,
    "pending": 0,
    "violated": 1,
    "violations": [
        {
            "invariant": "unaccounted_time",
            "time": "2026-02-26T06:30:00Z",
            "detail": "2026-02-26T06:30:00Z is a nominal time, and the ledger has no line for it",
        }
    ],
}
PREVIEW: Final[Example] = {"items": ["2026-03-03T06:30:00Z", "2026-03-04T06:30:00Z"]}
EVENT: Final[Example] = {
    "specversion": "1.0",
    "id": "4711-0",
    "source": "/agents/mailman",
    "type": "mail.received",
    "subject": "inbox/7",
    "time": "2026-03-02T09:12:00.412Z",
    "datacontenttype": "application/json",
    "data": {"from": "ann"},
}
EVENTS_ACCEPTED: Final[Example] = {"ids": ["4711-0"]}
QUOTA: Final[Example] = {
    "limits": {"tasks": 10000, "pipelines": 1000, "tools": 1000, "hooks": 100},
    "used": {"tasks": 12, "pipelines": 3, "tools": 4, "hooks": 1},
}
WORKER: Final[Example] = {
    "name": "ordinaut-worker-6c9f7d5b8-x2x7k",
    "queues": ["default"],
    "slots": 16,
    "busy": 3,
    "version": "0.2.0",
    "startTime": "2026-03-02T05:00:00.000Z",
    "seenTime": "2026-03-02T09:12:00.400Z",
    "draining": False,
    "held": 1,
    "runs": [{"id": _RUN, "task": "morning-briefing", "since": "2026-03-02T09:12:00.420Z"}],
}
WHY_TASK: Final[Example] = {
    "subject": {"kind": "Task", "namespace": "team-a", "name": "morning-briefing"},
    "phase": "Paused",
    "asOf": "2026-03-02T09:12:00.412Z",
    "summary": "Task team-a/morning-briefing is Paused: it is paused since 2026-03-02T07:00:00Z by ada: its schedules"
    " do not fire",
    "because": [
        {
            "reason": "Paused",
            "level": "Blocking",
            "message": "it is paused since 2026-03-02T07:00:00Z by ada: its schedules do not fire",
            "since": "2026-03-02T07:00:00Z",
            "by": "ada",
            "action": {
                "description": "resume it",
                "command": "resume morning-briefing -n team-a",
                "method": "POST",
                "path": "/v1/namespaces/team-a/tasks/morning-briefing/resume",
            },
        }
    ],
}
WHY_RUN: Final[Example] = {
    "subject": {"kind": "Run", "namespace": "team-a", "name": _RETRY, "task": "morning-briefing"},
    "phase": "Waiting",
    "asOf": "2026-03-02T09:12:00.412Z",
    "summary": f"Run {_RETRY} of task team-a/morning-briefing is Waiting: it waits for its turn: run {_RUN} is Running"
    " on worker worker-0 since 2026-03-02T09:10:00Z",
    "because": [
        {
            "reason": "Turn",
            "level": "Blocking",
            "message": f"it waits for its turn: run {_RUN} is Running on worker worker-0 since 2026-03-02T09:10:00Z",
            "since": "2026-03-02T09:10:00Z",
            "position": {"before": 0, "more": False},
            "holders": [{"run": _RUN, "task": "morning-briefing", "phase": "Running", "since": "2026-03-02T09:10:00Z"}],
            "action": {
                "description": "see why that run is not over",
                "command": f"why run {_RUN} -n team-a",
                "method": "GET",
                "path": f"/v1/namespaces/team-a/runs/{_RUN}/why",
            },
        }
    ],
}
AUDIT_ENTRY: Final[Example] = {
    "id": 42,
    "at": "2026-03-02T09:12:00.412Z",
    "actor": "kubernetes:system:serviceaccount:team-a:agent",
    "verb": "run",
    "object": "tasks/morning-briefing",
    "decision": "Allowed",
    "requestId": "9c0c8e8a6d0f4a6f8f3a5a5b6c7d8e9f",
}
WHO_AM_I: Final[Example] = {
    "id": "kubernetes:system:serviceaccount:team-a:agent",
    "authority": "kubernetes",
    "user": "system:serviceaccount:team-a:agent",
    "groups": ["system:serviceaccounts:team-a"],
}
HEALTH: Final[Example] = {"status": "alive"}

STREAMS: Final[dict[str, str]] = {
    "followRun": (
        'event: run\ndata: {"kind":"Run","status":{"phase":"Succeeded"}}\nid: 5feceb66ffc86f38\n\n'
        'event: end\ndata: {"reason":"final"}\nid: 5feceb66ffc86f38\nretry: 1312\n\n'
    ),
    "followEvents": (
        "id: 18240\n\n"
        'event: mail.received\ndata: {"specversion":"1.0","id":"4712-0","source":"https://mail.example/inbox",'
        '"type":"mail.received","subject":"inbox/7","time":"2026-11-23T06:31:07.003Z","namespace":"team-a",'
        '"publisher":"system:serviceaccount:team-a:mail-agent","datacontenttype":"application/json",'
        '"data":{"from":"bob"}}\nid: 18241-0\n\n'
        'event: end\ndata: {"reason":"reconnect"}\nid: 18241-0\nretry: 1312\n\n'
    ),
}
"""Examples of streams, by operation."""


def page(item: Example) -> Example:
    """Return a page with one item and another page behind it."""
    return {"items": [item], "nextCursor": "WyJ0ZWFtLWEvdGFza3MiLCJtb3JuaW5nLWJyaWVmaW5nIl0"}


REQUESTS: Final[dict[str, Example]] = {
    "createTask": TASK_MANIFEST,
    "replaceTask": TASK_MANIFEST,
    "patchTask": TASK_PATCH,
    "declareTasks": BATCH,
    "runTask": RUN_REQUEST,
    "snoozeTask": SNOOZE_REQUEST,
    "backfillTask": BACKFILL_REQUEST,
    "createPipeline": PIPELINE_MANIFEST,
    "replacePipeline": PIPELINE_MANIFEST,
    "patchPipeline": PIPELINE_PATCH,
    "createTool": TOOL_MANIFEST,
    "replaceTool": TOOL_MANIFEST,
    "patchTool": TOOL_PATCH,
    "createHook": HOOK_MANIFEST,
    "replaceHook": HOOK_MANIFEST,
    "patchHook": HOOK_PATCH,
    "deliverWebhook": DELIVERY,
    "publishEvents": EVENT_REQUEST,
}
"""Examples of request bodies, by operation."""

ANSWERS: Final[dict[str, Example]] = {
    "listTasks": page({**TASK, "status": {k: v for k, v in TASK["status"].items() if k != "upcoming"}}),
    **dict.fromkeys(
        ("getTask", "createTask", "replaceTask", "patchTask", "pauseTask", "resumeTask", "snoozeTask"), TASK
    ),
    "declareTasks": BATCH_RESULT,
    "listFires": page(FIRE),
    "listEventFires": page(EVENT_FIRE),
    "previewTask": PREVIEW,
    "verifyTask": page(VERIFICATION),
    "verifyTasks": page(VERIFICATION),
    "whyTask": WHY_TASK,
    "whyRun": WHY_RUN,
    "runTask": LISTED_RUN,
    "listPipelines": page(PIPELINE),
    **dict.fromkeys(("getPipeline", "createPipeline", "replacePipeline", "patchPipeline"), PIPELINE),
    "listTools": page(TOOL),
    **dict.fromkeys(("getTool", "createTool", "replaceTool", "patchTool"), TOOL),
    "listHooks": page(HOOK),
    **dict.fromkeys(("getHook", "createHook", "replaceHook", "patchHook"), HOOK),
    "deliverWebhook": DELIVERY_ACCEPTED,
    "listRuns": page(LISTED_RUN),
    **dict.fromkeys(("getRun", "cancelRun", "unparkRun", "waitForRun"), RUN),
    "retryRun": RETRY,
    **dict.fromkeys(("backfillTask", "getBackfill", "cancelBackfill"), BACKFILL),
    "backfillTask 200": BACKFILL_PLAN,
    **dict.fromkeys(("listBackfills", "listBackfillsOfTask"), page(BACKFILL)),
    "listEvents": page(EVENT),
    "publishEvents": EVENTS_ACCEPTED,
    "listAudit": page(AUDIT_ENTRY),
    "listWorkers": page(WORKER),
    "getQuota": QUOTA,
    "whoAmI": WHO_AM_I,
    "getHealth": HEALTH,
}
"""Examples of answers, by operation; with a status where an operation has several."""
