{{/*
Network policies in two flavours from one list of rules. A rule is a dict:
  ports       list of ports; udp: true, if UDP too. None: all ports
  components  our own pods
  peers       others, in the words of the flavour. Neither peers nor components: everybody
  cidrs       networks (kubernetes only)
  apiServer   true: the API server, which Cilium knows by itself
  names       true: name servers, whose answers Cilium has to see where rules say names (toFQDNs)
Whom a policy selects may do what its rules say and nothing else.
*/}}

{{/* A policy. Takes root, component; ingress and egress, lists of rules; further, a list of egress rules as the values have them. */}}
{{- define "ordinaut.networkPolicy" -}}
{{- $cilium := eq .root.Values.networkPolicy.flavor "cilium" -}}
apiVersion: {{ ternary "cilium.io/v2" "networking.k8s.io/v1" $cilium }}
kind: {{ ternary "CiliumNetworkPolicy" "NetworkPolicy" $cilium }}
metadata:
  {{- include "ordinaut.metadata" (dict "root" .root "component" .component "name" (include "ordinaut.componentName" .) "annotations" .annotations) | nindent 2 }}
spec:
  {{ ternary "endpointSelector" "podSelector" $cilium }}:
    matchLabels:
      {{- include "ordinaut.selectorLabels" . | nindent 6 }}
  {{- if not $cilium }}
  policyTypes: [Ingress, Egress]
  {{- end }}
  {{- /* To Cilium an empty rule allows nothing and makes everything else refused; to Kubernetes it allows all. */}}
  {{- $nothing := ternary (list dict) list $cilium }}
  {{- $ingress := list }}
  {{- range .ingress }}{{ $ingress = append $ingress (include "ordinaut.networkPolicy.rule" (dict "root" $.root "rule" . "side" "from") | fromYaml) }}{{ end }}
  {{- $egress := list }}
  {{- $byName := contains "toFQDNs" (toJson .further) }}
  {{- range .egress }}{{ $egress = append $egress (include "ordinaut.networkPolicy.rule" (dict "root" $.root "rule" . "side" "to" "byName" $byName) | fromYaml) }}{{ end }}
  ingress:
    {{- $ingress | default $nothing | toYaml | nindent 4 }}
  egress:
    {{- concat $egress (.further | default list) | default $nothing | toYaml | nindent 4 }}
{{- end }}

{{/* A rule as YAML. Takes root, rule, side (from or to); byName, true where other rules say names. */}}
{{- define "ordinaut.networkPolicy.rule" -}}
{{- $cilium := eq .root.Values.networkPolicy.flavor "cilium" -}}
{{- $rule := .rule -}}
{{- $peers := $rule.peers | default list -}}
{{- range $rule.components -}}
{{- $labels := dict "matchLabels" (include "ordinaut.selectorLabels" (dict "root" $.root "component" .) | fromYaml) -}}
{{- $peers = append $peers (ternary $labels (dict "podSelector" $labels) $cilium) -}}
{{- end -}}
{{- range $rule.cidrs -}}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) -}}
{{- end -}}
{{- $ports := list -}}
{{- range $port := $rule.ports -}}
{{- range ternary (list "TCP" "UDP") (list "TCP") ($rule.udp | default false) -}}
{{- $ports = append $ports (dict "port" (ternary (toString $port) (int $port) $cilium) "protocol" .) -}}
{{- end -}}
{{- end -}}
{{- $shown := dict -}}
{{- if and $cilium $rule.apiServer -}}
{{- $_ := set $shown (printf "%sEntities" .side) (list "kube-apiserver") -}}
{{- $ports = list -}}
{{- else if and $cilium $peers -}}
{{- $_ := set $shown (printf "%sEndpoints" .side) $peers -}}
{{- else if $cilium -}}
{{- $_ := set $shown (printf "%sEntities" .side) (list "all") -}}
{{- else if $peers -}}
{{- $_ := set $shown .side $peers -}}
{{- end -}}
{{- if and $cilium $ports -}}
{{- $toPorts := dict "ports" $ports -}}
{{- if and .byName $rule.names -}}
{{- $_ := set $toPorts "rules" (dict "dns" (list (dict "matchPattern" "*"))) -}}
{{- end -}}
{{- $_ := set $shown "toPorts" (list $toPorts) -}}
{{- else if $ports -}}
{{- $_ := set $shown "ports" $ports -}}
{{- end -}}
{{- toYaml $shown -}}
{{- end }}

{{/* Port of a URL. */}}
{{- define "ordinaut.networkPolicy.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end }}

{{/* What every process needs to reach, as a YAML list of rules: names, the database, the collector of traces. Takes the root. */}}
{{- define "ordinaut.networkPolicy.shared" -}}
{{- $values := .Values.networkPolicy -}}
{{- $rules := list (dict "ports" $values.dnsPorts "udp" true "names" true) -}}
{{- if .Values.trial.enabled -}}
{{- $rules = append $rules (dict "ports" (list 5432) "components" (list "trial-postgres")) -}}
{{- else if .Values.database.cnpg.enabled -}}
{{- $instances := dict "matchLabels" (dict "cnpg.io/cluster" (include "ordinaut.componentName" (dict "root" $ "component" "postgres"))) -}}
{{- $peer := ternary $instances (dict "podSelector" $instances) (eq $values.flavor "cilium") -}}
{{- $rules = append $rules (dict "ports" (list 5432) "peers" (list $peer)) -}}
{{- else -}}
{{- $rules = append $rules (dict "ports" $values.database.ports "peers" $values.database.to) -}}
{{- end -}}
{{- with .Values.tracing.otlpEndpoint -}}
{{- $rules = append $rules (dict "ports" (list (include "ordinaut.networkPolicy.portOf" .))) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}

{{/* Scrapes, as a YAML list of rules. The kubelet's probes come from the pod's node, which is always let in. Takes the root. */}}
{{- define "ordinaut.networkPolicy.metrics" -}}
- {{ dict "ports" (list 9090) "peers" .Values.networkPolicy.metricsFrom | toJson }}
{{- end }}

{{/* The API server, as a YAML list of rules. Takes the root. */}}
{{- define "ordinaut.networkPolicy.apiServer" -}}
- {{ dict "apiServer" true "ports" .Values.networkPolicy.apiServer.ports "cidrs" .Values.networkPolicy.apiServer.cidrs | toJson }}
{{- end }}
