{{/*
What the pods of the trial stores have in common: where they may run, and rights as few as the processes have.
*/}}

{{/* Metadata of a trial store's pod: without the version of the chart, which is no reason to start it anew. Takes root, component. */}}
{{- define "ordinaut.trial.podMetadata" -}}
{{- $defaults := .root.Values.defaults -}}
labels:
  {{- omit (include "ordinaut.labels" (merge (dict "labels" $defaults.podLabels "pod" true) .) | fromYaml) "app.kubernetes.io/version" | toYaml | nindent 2 }}
{{- with merge dict ($defaults.podAnnotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Head of a trial pod's spec. Takes root; podSecurityContext, what is set over that of `defaults`. */}}
{{- define "ordinaut.trial.pod" -}}
{{- $defaults := .root.Values.defaults -}}
enableServiceLinks: false
securityContext:
  {{- mergeOverwrite (deepCopy $defaults.podSecurityContext) (deepCopy (.podSecurityContext | default dict)) | toYaml | nindent 2 }}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $defaults $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Fully qualified host of a trial store, since KEDA looks from another namespace. Takes root, component. */}}
{{- define "ordinaut.trial.host" -}}
{{- printf "%s.%s.svc" (include "ordinaut.componentName" .) (include "ordinaut.namespace" .root) -}}
{{- end }}

{{/* Name of the Secret with the stores' passwords and addresses. Takes the root. */}}
{{- define "ordinaut.trial.secretName" -}}
{{- printf "%s-trial" (include "ordinaut.fullname" .) -}}
{{- end }}

{{/* The Service of a trial store. Takes root, component, port. */}}
{{- define "ordinaut.trial.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "ordinaut.metadata" (merge (dict "name" (include "ordinaut.componentName" .)) .) | nindent 2 }}
spec:
  selector:
    {{- include "ordinaut.selectorLabels" . | nindent 4 }}
  ports:
  - {name: store, port: {{ .port }}, targetPort: store, protocol: TCP}
{{- end }}

{{/* Template of the pod that makes the Secret. Takes root, component. */}}
{{- define "ordinaut.trial.secretPod" -}}
{{- $stores := list (include "ordinaut.trial.host" (dict "root" .root "component" "trial-postgres")) (include "ordinaut.trial.host" (dict "root" .root "component" "trial-valkey")) -}}
metadata:
  labels:
    {{- include "ordinaut.labels" (merge (dict "pod" true) .) | nindent 4 }}
  annotations:
    {{- toYaml (.root.Values.migrations.podAnnotations | default dict) | nindent 4 }}
spec:
  {{- include "ordinaut.trial.pod" . | nindent 2 }}
  restartPolicy: OnFailure
  serviceAccountName: {{ include "ordinaut.componentName" . }}
  automountServiceAccountToken: true
  containers:
  - name: trial-secret
    image: {{ include "ordinaut.image" (dict "root" .root) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: {{ concat (list "python" "-m" "ordinaut_operator.trial" (include "ordinaut.namespace" .root) (include "ordinaut.trial.secretName" .root)) $stores | toJson }}
    resources:
      {{- toYaml .root.Values.migrations.resources | nindent 6 }}
    securityContext:
      {{- toYaml .root.Values.defaults.containerSecurityContext | nindent 6 }}
    volumeMounts:
    - {name: tmp, mountPath: /tmp}
  volumes:
  - {name: tmp, emptyDir: {}}
{{- end }}
