{{- define "lipserve.validate.access" -}}
{{ include "lipserve.validate.sharedMemory" . }}
{{ include "lipserve.validate.network" . }}
{{ include "lipserve.validate.identity" . }}
{{ include "lipserve.validate.tests" . }}
{{ include "lipserve.validate.provenance" . }}
{{- end -}}

{{- define "lipserve.validate.provenance" -}}
{{- with .Values.provenance }}
{{- if and .enabled (not .secretName) }}
provenance.secretName: nothing signs results; name a Secret with tls.crt and tls.key, or set provenance.enabled to false
{{- end }}
{{- if and .secretName (not .enabled) }}
provenance.secretName: it is not used; set provenance.enabled to true, or leave it out
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.sharedMemory" -}}
{{- if eq .Values.sharedMemory.clients "open" }}
{{- range $key, $on := dict "service.enabled" .Values.service.enabled "envoy.enabled" .Values.envoy.enabled "ingress.enabled" .Values.ingress.enabled "gatewayApi.enabled" .Values.gatewayApi.enabled "tests.enabled" .Values.tests.enabled }}
{{- if $on }}
{{ $key }}: sharedMemory.clients open lets a caller map memory, so Triton listens on localhost only; set it to false, or sharedMemory.clients to closed
{{- end }}
{{- end }}
{{- if not .Values.extraContainers }}
sharedMemory.clients: open serves containers of the same pod, and there are none; give extraContainers, or set it to closed
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.network" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $outside := or .Values.ingress.enabled .Values.gatewayApi.enabled -}}
{{- if and (not .Values.service.enabled) (eq .Values.sharedMemory.clients "closed") (not .Values.envoy.enabled) (or $outside .Values.tests.enabled) }}
service.enabled: {{ ternary "ingress and gatewayApi lead" "helm test calls" $outside }} nowhere without it; set it to true, or envoy.enabled to true
{{- end }}
{{- if $policy.enabled }}
{{- if and (not $policy.clients) (eq .Values.sharedMemory.clients "closed") }}
networkPolicy.clients: nobody may call; name peers, [{namespaceSelector: {}}] for the whole cluster
{{- end }}
{{- if and (not $policy.dns) (or .Values.envoy.enabled .Values.tests.enabled (include "lipserve.store.remote" .)) }}
networkPolicy.dns: names cannot be looked up; name the peers of the cluster's DNS
{{- end }}
{{- if and (include "lipserve.store.remote" .) (not $policy.objectStore.to) }}
networkPolicy.objectStore.to: the store cannot be reached; name its addresses, [{ipBlock: {cidr: 0.0.0.0/0}}] for any
{{- end }}
{{- if and .Values.tracing.url (not $policy.traces.to) }}
networkPolicy.traces.to: the collector cannot be reached; name its peers, [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: tracing}}}]
{{- end }}
{{- $port := include "lipserve.port" .Values.tracing.url -}}
{{- if and .Values.tracing.url (ne $port (toString $policy.traces.port)) }}
networkPolicy.traces.port: {{ $policy.traces.port }} is open and tracing.url is at {{ $port }}; set it to {{ $port }}
{{- end }}
{{- if and .Values.autoscaling.deletionCost (not $policy.apiServer.to) }}
networkPolicy.apiServer.to: autoscaling.deletionCost cannot reach the API server; name its addresses
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.identity" -}}
{{- $account := .Values.serviceAccount -}}
{{- if and .Values.autoscaling.deletionCost (not $account.create) (not $account.name) }}
serviceAccount: autoscaling.deletionCost would give the namespace's default account rights on pods; set create to true, or name one
{{- end }}
{{- if and $account.annotations (not $account.create) }}
serviceAccount.annotations: an account that the chart does not make keeps its own; set create to true, or leave them out
{{- end }}
{{- if .Values.externalSecrets.enabled }}
{{- if not .Values.externalSecrets.secretStoreRef.name }}
externalSecrets.secretStoreRef.name: nothing says where secrets come from; name a SecretStore or ClusterSecretStore
{{- end }}
{{- if not .Values.externalSecrets.secrets }}
externalSecrets.secrets: none is to be made; list them, or set externalSecrets.enabled to false
{{- end }}
{{- $names := list }}
{{- range .Values.externalSecrets.secrets }}
{{- if has .name $names }}
externalSecrets.secrets: {{ .name }} is made twice; give each Secret a name of its own, with all its data
{{- end }}
{{- $names = append $names .name }}
{{- $keys := list }}
{{- range .data }}
{{- if has .secretKey $keys }}
externalSecrets.secrets: {{ .secretKey }} is twice in one Secret; give each of its keys once
{{- end }}
{{- $keys = append $keys .secretKey }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.tests" -}}
{{- if and .Values.tests.enabled .Values.tls.enabled (not .Values.tests.tls.secretName) }}
{{- if .Values.tls.clients.required }}
tests.tls.secretName: the tests have to show a certificate; name a Secret with ca.crt, tls.crt and tls.key, or set tests.enabled to false
{{- else if eq .Values.tls.source "secret" }}
tests.tls.secretName: the tests have to know the authority of the certificate; name a Secret with ca.crt, or set tests.enabled to false
{{- end }}
{{- end }}
{{- end -}}
