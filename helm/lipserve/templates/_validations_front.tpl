{{- define "lipserve.validate.lifecycle" -}}
{{- $times := include "lipserve.lifecycle" . | fromJson -}}
{{- $longest := int .Values.lifecycle.longestSegmentSeconds -}}
{{- $exit := int $times.exitTimeout -}}
{{- $least := add (int $times.preStop) $exit 5 -}}
{{- if lt $exit (mul 2 $longest | int) }}
lifecycle.exitTimeoutSeconds: {{ $exit }} s ends segments of {{ $longest }} s that were accepted one behind another; give {{ add (mul 2 $longest) 10 }} or null
{{- end }}
{{- if lt (int $times.grace) (int $least) }}
lifecycle.terminationGracePeriodSeconds: {{ int $times.grace }} s kill a pod that drains for {{ int $times.preStop }} s before and {{ $exit }} s after SIGTERM; give {{ $least }} or more, or null
{{- end }}
{{- end -}}

{{- define "lipserve.validate.front" -}}
{{ include "lipserve.validate.envoy" . }}
{{ include "lipserve.validate.auth" . }}
{{ include "lipserve.validate.tls" . }}
{{ include "lipserve.validate.routes" . }}
{{ include "lipserve.validate.public" . }}
{{- end -}}

{{/* Fronts that face a network, and who may call there. */}}
{{- define "lipserve.validate.public" -}}
{{- $service := .Values.envoy.service -}}
{{- $fronts := dict "ingress.enabled" .Values.ingress.enabled "gatewayApi.enabled" .Values.gatewayApi.enabled -}}
{{- $_ := set $fronts "service.type" (and .Values.service.enabled (ne .Values.service.type "ClusterIP")) -}}
{{- $_ := set $fronts "envoy.service.type" (and .Values.envoy.enabled (ne $service.type "ClusterIP")) -}}
{{- $auth := .Values.envoy.auth -}}
{{- range $key, $on := $fronts }}
{{- $known := and (ne $auth.mode "none") (ne $key "service.type") }}
{{- if and $on (not $known) (not $.Values.tls.clients.required) (not $auth.anonymous) }}
{{- if eq $key "service.type" }}
service.type: {{ $.Values.service.type }} shows Triton to whoever reaches it, and it asks for no key; set it to ClusterIP and put Envoy before it, or tls.clients.required or envoy.auth.anonymous to true
{{- else }}
{{ $key }}: whoever reaches it may call, for nothing asks who it is; set envoy.enabled and envoy.auth.mode, or tls.clients.required or envoy.auth.anonymous to true
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.envoy.enabled (eq $service.type "LoadBalancer") $service.loadBalancerSourceRanges .Values.networkPolicy.enabled (ne $service.externalTrafficPolicy "Local") }}
envoy.service.loadBalancerSourceRanges: with externalTrafficPolicy Cluster packets come by other nodes, whose addresses the network policy sees; set externalTrafficPolicy to Local
{{- end }}
{{- end -}}

{{- define "lipserve.validate.envoy" -}}
{{- $times := include "lipserve.lifecycle" . | fromJson -}}
{{- $envoy := .Values.envoy -}}
{{- if $envoy.enabled }}
{{- if lt (int $envoy.replicas) 2 }}
envoy.replicas: a single proxy is every client's outage when its node goes; give 2 or more
{{- end }}
{{- if ge (int $envoy.podDisruptionBudget.maxUnavailable) (int $envoy.replicas) }}
envoy.podDisruptionBudget.maxUnavailable: {{ int $envoy.podDisruptionBudget.maxUnavailable }} lets all {{ int $envoy.replicas }} proxies go at once; give less than envoy.replicas
{{- end }}
{{- if lt (int $times.requestTimeout) (int $times.exitTimeout) }}
envoy.requestTimeoutSeconds: {{ int $times.requestTimeout }} s cut off what a draining pod still answers for {{ int $times.exitTimeout }} s; give {{ int $times.exitTimeout }} or more, or null
{{- end }}
{{- with ($envoy.resources.limits | default dict).memory }}
{{- if lt (include "lipserve.bytes" . | float64) (mulf 4 1048576 (int $envoy.limits.requestMiB)) }}
envoy.limits.requestMiB: a request of {{ int $envoy.limits.requestMiB }} MiB is held whole, and a limit of {{ . }} holds less than four; raise envoy.resources.limits.memory
{{- end }}
{{- else }}
envoy.resources.limits.memory: Envoy refuses work before it runs out of memory and has to know where that is; give a limit
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.auth" -}}
{{- $auth := .Values.envoy.auth -}}
{{- if and (ne $auth.mode "none") (not .Values.envoy.enabled) }}
envoy.auth.mode: keys and tokens are checked by Envoy, which is off; set envoy.enabled to true
{{- end }}
{{- if eq $auth.mode "apiKey" }}
{{- if and (not $auth.apiKey.existingSecret) (not $auth.apiKey.keys) }}
envoy.auth.apiKey: no key is known, so that nobody may call; name an existingSecret, or give keys
{{- else if and $auth.apiKey.existingSecret $auth.apiKey.keys }}
envoy.auth.apiKey: existingSecret and keys exclude each other; keep one
{{- end }}
{{- else if eq $auth.mode "jwt" }}
{{- if or (not $auth.jwt.issuer) (not $auth.jwt.audiences) }}
envoy.auth.jwt: a token for another service would do; give issuer and audiences
{{- end }}
{{- if not (or $auth.jwt.jwks.uri $auth.jwt.jwks.inline) }}
envoy.auth.jwt.jwks: no key can check a token; give uri or inline
{{- else if and $auth.jwt.jwks.uri $auth.jwt.jwks.inline }}
envoy.auth.jwt.jwks: uri and inline exclude each other; keep one
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.tls" -}}
{{- $tls := .Values.tls -}}
{{- if and $tls.enabled (eq $tls.source "secret") (not $tls.secretName) }}
tls.secretName: there is no certificate; name a Secret with tls.crt and tls.key, or set tls.source to certManager
{{- end }}
{{- if and $tls.enabled (eq $tls.source "certManager") (not $tls.certManager.issuerRef.name) }}
tls.certManager.issuerRef.name: nobody signs the certificate; name an Issuer or a ClusterIssuer
{{- end }}
{{- if and $tls.clients.required (not $tls.enabled) }}
tls.clients.required: clients show certificates only over TLS; set tls.enabled to true
{{- end }}
{{- if and $tls.clients.required (not $tls.clients.caSecretName) }}
tls.clients.caSecretName: no authority vouches for clients; name a Secret with ca.crt
{{- end }}
{{- if $tls.internal.enabled }}
{{- if not .Values.envoy.enabled }}
tls.internal.enabled: this is TLS between Envoy and Triton; set envoy.enabled to true, or use tls.enabled alone
{{- end }}
{{- if and (eq $tls.source "secret") (not (and $tls.internal.serverSecretName $tls.internal.clientSecretName)) }}
tls.internal: both ends need a certificate; name serverSecretName and clientSecretName, or set tls.source to certManager
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.routes" -}}
{{- $ingress := .Values.ingress -}}
{{- if and $ingress.enabled (not $ingress.hosts) }}
ingress.hosts: no host leads here; give one, such as lipserve.example.com
{{- end }}
{{- if and $ingress.enabled (not $ingress.tls.secretName) }}
ingress.tls.secretName: nginx speaks gRPC over TLS only; name the certificate's Secret
{{- end }}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.parentRefs) }}
gatewayApi.parentRefs: the route belongs to no Gateway; name one
{{- end }}
{{- if and .Values.tls.clients.required (or $ingress.enabled .Values.gatewayApi.enabled) }}
tls.clients.required: an Ingress or a Gateway ends the clients' TLS and shows no certificate of theirs; let it ask for them, or use envoy.service.type LoadBalancer
{{- end }}
{{- if and .Values.tls.enabled .Values.gatewayApi.enabled }}
gatewayApi.enabled: a GRPCRoute calls its backend without TLS, unless a BackendTLSPolicy of yours says more; set tls.enabled to false and let the Gateway speak TLS
{{- end }}
{{- end -}}
