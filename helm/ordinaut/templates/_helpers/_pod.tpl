{{/*
The one pod template of all processes and Jobs: what `defaults` says, with a component's own keys in its place.
*/}}

{{/* Settings of a component as YAML: each key of `defaults`, replaced by the component's own; probes are merged. Takes root, component. */}}
{{- define "ordinaut.settings" -}}
{{- $section := get (dict "migrate" "migrations" "test" "tests") .component | default .component -}}
{{- $own := get .root.Values $section | default dict -}}
{{- $settings := deepCopy .root.Values.defaults -}}
{{- range $key, $value := $own -}}
{{- if and (hasKey $settings $key) (not (kindIs "invalid" $value)) (ne $key "probes") -}}
{{- $_ := set $settings $key $value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings "probes" (mergeOverwrite $settings.probes (deepCopy ($own.probes | default dict))) -}}
{{- toYaml $settings -}}
{{- end }}

{{/* The chart's own variables of a component. Takes root, component. */}}
{{- define "ordinaut.env.own" -}}
{{- $values := .root.Values -}}
{{- if ne .component "test" }}
{{- include "ordinaut.env.database" .root }}
{{- end }}
{{- if or (hasPrefix "worker" .component) (has .component (list "operator" "api")) }}
{{ include "ordinaut.env.logging" .root }}
{{- with include "ordinaut.env.tracing" .root }}
{{ . }}
{{- end }}
{{- end }}
{{- if has .component (list "operator" "api") }}
{{ include "ordinaut.env.authentication" .root }}
{{- end }}
{{- if eq .component "operator" }}
{{ include "ordinaut.env.redis" .root }}
{{- if and (include "ordinaut.redis.secretName" .root) (not $values.redis.inbox) }}
- name: ORDINAUT_INBOX
  value: "off"
{{- end }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: ORDINAUT_WATCH_NAMESPACES
  value: {{ toJson ($values.watchNamespaces | default list) | quote }}
- name: ORDINAUT_LEASE_NAME
  value: {{ include "ordinaut.componentName" . }}
- name: ORDINAUT_LEASE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: ORDINAUT_HISTORY_DAYS
  value: {{ $values.operator.historyDays | int64 | toString | quote }}
- name: ORDINAUT_EVENT_DAYS
  value: {{ $values.operator.eventDays | int64 | toString | quote }}
- name: ORDINAUT_AUDIT_DAYS
  value: {{ $values.operator.auditDays | int64 | toString | quote }}
- name: ORDINAUT_MAX_HOPS
  value: {{ $values.operator.maxHops | int64 | toString | quote }}
- name: ORDINAUT_MAX_DELIVERIES
  value: {{ $values.operator.maxDeliveries | int64 | toString | quote }}
- name: ORDINAUT_RECOVERY_SECONDS
  value: {{ add 2 (div (include "ordinaut.worker.lease" .root | int64) 3) | toString | quote }}
{{- else if hasPrefix "worker" .component }}
{{- $worker := get $values .component }}
- name: ORDINAUT_WORKER_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: ORDINAUT_WORKER_QUEUES
  value: {{ join "," $worker.queues | quote }}
- name: ORDINAUT_WORKER_SLOTS
  value: {{ $worker.concurrency | int64 | toString | quote }}
- name: ORDINAUT_LEASE_SECONDS
  value: {{ $worker.leaseSeconds | int64 | toString | quote }}
- name: ORDINAUT_STEP_TIMEOUT_SECONDS
  value: {{ $worker.stepTimeoutSeconds | int64 | toString | quote }}
- name: ORDINAUT_GRACE_SECONDS
  value: {{ $worker.drainSeconds | int64 | toString | quote }}
{{- else if eq .component "api" }}
- name: ORDINAUT_API_HOST
  value: 0.0.0.0
- name: ORDINAUT_API_POOL_SIZE
  value: {{ $values.api.poolSize | int64 | toString | quote }}
- name: ORDINAUT_API_MAX_STREAMS
  value: {{ $values.api.maxStreams | int64 | toString | quote }}
- name: ORDINAUT_API_MAX_TASKS
  value: {{ $values.api.limits.tasks | int64 | toString | quote }}
- name: ORDINAUT_API_MAX_PIPELINES
  value: {{ $values.api.limits.pipelines | int64 | toString | quote }}
- name: ORDINAUT_API_MAX_TOOLS
  value: {{ $values.api.limits.tools | int64 | toString | quote }}
- name: ORDINAUT_API_MAX_HOOKS
  value: {{ $values.api.limits.hooks | int64 | toString | quote }}
- name: ORDINAUT_RATE_LIMIT
  value: {{ $values.api.rateLimit.requestsPerMinute | int64 | toString | quote }}
- name: ORDINAUT_RATE_LIMIT_FAILURES
  value: {{ $values.api.rateLimit.failuresPerMinute | int64 | toString | quote }}
{{- with $values.api.forwardedAllowIPs }}
- name: ORDINAUT_FORWARDED_ALLOW_IPS
  value: {{ join "," . | quote }}
{{- end }}
{{- with $values.api.corsOrigins }}
- name: ORDINAUT_CORS_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* All variables of a component: the chart's own, but for those that extraEnv has too, and extraEnv. Takes root, component, settings. */}}
{{- define "ordinaut.env" -}}
{{- $own := include "ordinaut.env.own" . | fromYamlArray -}}
{{- $extra := tpl (toYaml .settings.extraEnv) .root | fromYamlArray -}}
{{- $replaced := list -}}
{{- range $extra }}{{ $replaced = append $replaced .name }}{{ end -}}
{{- $kept := list -}}
{{- range $own -}}
{{- if not (has .name $replaced) }}{{ $kept = append $kept . }}{{ end -}}
{{- end -}}
{{- with concat $kept $extra }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* The files that a component reads: CAs and the access file, as name, mount path and volume source. Takes root, component. */}}
{{- define "ordinaut.files" -}}
{{- if ne .component "test" }}
{{- with include "ordinaut.database.caSecret" .root }}
- name: database-ca
  mountPath: /etc/ordinaut/tls/database
  source:
    secret: {secretName: {{ . | quote }}, items: [{key: {{ $.root.Values.database.tls.caKey | quote }}, path: {{ $.root.Values.database.tls.caKey | quote }}}]}
{{- end }}
{{- end }}
{{- if and (eq .component "operator") (include "ordinaut.redis.secretName" .root) }}
{{- with .root.Values.redis.tls.caSecret }}
- name: redis-ca
  mountPath: /etc/ordinaut/tls/redis
  source:
    secret: {secretName: {{ . | quote }}, items: [{key: {{ $.root.Values.redis.tls.caKey | quote }}, path: {{ $.root.Values.redis.tls.caKey | quote }}}]}
{{- end }}
{{- end }}
{{- if has .component (list "operator" "api") }}
{{- with include "ordinaut.access.source" .root }}
- name: access
  mountPath: /etc/ordinaut/access
  source:
    {{- . | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Spread over nodes and zones where possible, or what the values say, with the labelSelector filled in. Takes root, component, settings. */}}
{{- define "ordinaut.topologySpread" -}}
{{- $spread := .settings.topologySpreadConstraints | default (list
  (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash"))
  (dict "maxSkew" 1 "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash"))) -}}
{{- $selector := dict "matchLabels" (include "ordinaut.selectorLabels" . | fromYaml) -}}
{{- $filled := list -}}
{{- range $spread }}{{ $filled = append $filled (hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $selector)) }}{{ end -}}
{{- toYaml $filled -}}
{{- end }}

{{/* Probes: paths are the chart's, times the values'. Takes settings. */}}
{{- define "ordinaut.probes" -}}
startupProbe:
  {{- merge (dict "httpGet" (dict "path" "/healthz" "port" "probes")) .settings.probes.startup | toYaml | nindent 2 }}
livenessProbe:
  {{- merge (dict "httpGet" (dict "path" "/healthz" "port" "probes")) .settings.probes.liveness | toYaml | nindent 2 }}
readinessProbe:
  {{- merge (dict "httpGet" (dict "path" "/readyz" "port" "probes")) .settings.probes.readiness | toYaml | nindent 2 }}
{{- end }}

{{/*
A pod template: metadata and spec. Takes root, component and
  command        what the container runs
  resources      of the container
  token          true where the process talks to the API server
  grace          terminationGracePeriodSeconds
  preStop        seconds to sleep before SIGTERM
  ports          further ports of the container
  restartPolicy  for a Job's pod, which then gets no probes, ports, companions or service account
*/}}
{{- define "ordinaut.pod" -}}
{{- $settings := include "ordinaut.settings" . | fromYaml -}}
{{- $given := merge (dict "settings" $settings) . -}}
{{- $files := include "ordinaut.files" . | fromYamlArray -}}
metadata:
  labels:
    {{- include "ordinaut.labels" (dict "root" .root "component" .component "labels" $settings.podLabels "pod" true) | nindent 4 }}
  {{- with merge dict ($settings.podAnnotations | default dict) (.root.Values.commonAnnotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if .restartPolicy }}
  restartPolicy: {{ .restartPolicy }}
  {{- else }}
  serviceAccountName: {{ include "ordinaut.serviceAccountName" . }}
  {{- end }}
  automountServiceAccountToken: {{ .token | default false }}
  enableServiceLinks: false
  {{- with .grace }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with .root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $settings.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .restartPolicy }}
  topologySpreadConstraints:
    {{- include "ordinaut.topologySpread" $given | nindent 4 }}
  {{- end }}
  {{- with $settings.extraPodSpec }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
  {{- with $settings.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  containers:
  - name: {{ hasPrefix "worker-" .component | ternary "worker" .component }}
    image: {{ include "ordinaut.image" (dict "root" .root) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: {{ toJson .command }}
    {{- with include "ordinaut.env" $given }}
    env:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with $settings.extraEnvFrom }}
    envFrom:
      {{- tpl (toYaml .) $.root | nindent 6 }}
    {{- end }}
    {{- if not .restartPolicy }}
    ports:
    {{- range .ports }}
    - {{ toJson . }}
    {{- end }}
    - {name: probes, containerPort: 9090}
    {{- include "ordinaut.probes" $given | nindent 4 }}
    {{- end }}
    {{- with .preStop }}
    lifecycle: {preStop: {exec: {command: [sleep, {{ toString . | quote }}]}}}
    {{- end }}
    {{- with .resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $settings.containerSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- range $files }}
    - {name: {{ .name }}, mountPath: {{ .mountPath }}, readOnly: true}
    {{- end }}
    {{- with $settings.extraVolumeMounts }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  {{- if not .restartPolicy }}
  {{- with $settings.extraContainers }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
  {{- end }}
  volumes:
  - {name: tmp, emptyDir: {}}
  {{- range $files }}
  - name: {{ .name }}
    {{- toYaml .source | nindent 4 }}
  {{- end }}
  {{- with $settings.extraVolumes }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end }}
