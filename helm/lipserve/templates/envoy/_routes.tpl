{{/* Methods that clients may call, as JSON: {"health": [...], "inference": [...]}. Model control, trace, logging and
     shared memory are not among them, and streams neither: no client of LipServe's uses them. */}}
{{- define "lipserve.envoy.methods" -}}
{{- $service := "/inference.GRPCInferenceService" -}}
{{- $health := list "/grpc.health.v1.Health/Check" -}}
{{- range list "ServerLive" "ServerReady" "ModelReady" -}}
{{- $health = append $health (printf "%s/%s" $service .) -}}
{{- end -}}
{{- $inference := list -}}
{{- range list "ModelInfer" "ServerMetadata" "ModelMetadata" "ModelConfig" "ModelStatistics" -}}
{{- $inference = append $inference (printf "%s/%s" $service .) -}}
{{- end -}}
{{- dict "health" $health "inference" $inference | toJson -}}
{{- end -}}

{{/* A regular expression that fits these methods and no other: a list, as JSON. */}}
{{- define "lipserve.envoy.oneOf" -}}
{{- . | fromJsonArray | join "|" | replace "." "\\." | squote -}}
{{- end -}}

{{- define "lipserve.envoy.routes" -}}
{{- $methods := include "lipserve.envoy.methods" . | fromJson -}}
{{- $auth := .Values.envoy.auth -}}
virtual_hosts:
  - name: triton
    domains: ["*"]
    routes:
      - match: {safe_regex: {regex: {{ include "lipserve.envoy.oneOf" (toJson $methods.health) }}}, grpc: {}}
        route:
          {{- include "lipserve.envoy.toTriton" . | nindent 10 }}
        {{- if and (eq $auth.mode "apiKey") $auth.openHealth }}
        typed_per_filter_config:
          api-keys: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
        {{- end }}
      - match: {safe_regex: {regex: {{ include "lipserve.envoy.oneOf" (toJson $methods.inference) }}}, grpc: {}}
        route:
          {{- include "lipserve.envoy.toTriton" . | nindent 10 }}
      - match: {prefix: /}
        direct_response:
          status: 403
          body: {inline_string: "This protocol is restricted: Envoy passes inference, health, metadata, configuration and statistics."}
{{- end -}}

{{/* The route to the pods. A request is sent again where a pod drains, is full, has no disk or shared memory left,
     or has no Triton for the moment (its guard says so by the code of its message), where a model is loaded anew (Triton's own
     words: NOT_FOUND in a message without a body), and where the connection to a pod broke before the request. A
     request at which a process or a pod ended ([lipserve:process_died]) is not sent to another pod: it may end that
     one too. With afterReset, a request is sent again also where the connection broke while it was computed. */}}
{{- define "lipserve.envoy.toTriton" -}}
{{- $times := include "lipserve.lifecycle" . | fromJson -}}
{{- $retries := .Values.envoy.retries -}}
cluster: triton
# The client's own deadline, where it is shorter, ends the request here too.
timeout: 0s
max_stream_duration:
  max_stream_duration: {{ int $times.requestTimeout }}s
  grpc_timeout_header_max: {{ int $times.requestTimeout }}s
{{- if $retries.attempts }}
retry_policy:
  retry_on: connect-failure,refused-stream,reset-before-request,retriable-headers{{ ternary ",reset" "" $retries.afterReset }}
  retriable_headers:
    - name: grpc-message
      string_match:
        safe_regex: {regex: '.*(has no available versions|\[lipserve:(unavailable|server_full|storage_full)\]).*'}
  num_retries: {{ int $retries.attempts }}
  retry_back_off: {base_interval: 0.1s, max_interval: 2s}
  retry_host_predicate:
    - name: envoy.retry_host_predicates.previous_hosts
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
  host_selection_retry_max_attempts: 32
{{- end }}
{{- end -}}
