{{/* The filters of a request, in their order: who is it, how often, how much, where to. */}}
{{- define "lipserve.envoy.filters" -}}
{{- $envoy := .Values.envoy -}}
- name: own-headers
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
    mutations:
      # Who called is what Envoy found out, never what the caller says.
      request_mutations: [{remove: x-lipserve-client}]
{{- if eq $envoy.auth.mode "apiKey" }}
{{ include "lipserve.envoy.apiKeys" . }}
{{- else if eq $envoy.auth.mode "jwt" }}
{{ include "lipserve.envoy.jwt" . }}
{{- end }}
# A client without a key and a token gets the name of its certificate, or else its address: in pods clients take turns.
- name: client
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
    mutations:
      request_mutations:
        - append:
            header:
              key: x-lipserve-client
              value: {{ ternary "%DOWNSTREAM_PEER_SUBJECT%" "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" (and .Values.tls.enabled .Values.tls.clients.required) | quote }}
            append_action: ADD_IF_ABSENT
{{- with $envoy.rateLimit.perClient }}
{{- if .enabled }}
- name: client-rate-limit
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: client_rate_limit
    rate_limits:
      - actions: [{request_headers: {header_name: x-lipserve-client, descriptor_key: client}}]
    # A descriptor without a value stands for each value: every client has a bucket of its own.
    descriptors:
      - entries: [{key: client}]
        token_bucket:
          max_tokens: {{ int .burst }}
          tokens_per_fill: {{ int .requestsPerSecond }}
          fill_interval: 1s
    max_dynamic_descriptors: {{ int .clients }}
    filter_enabled: {default_value: {numerator: 100}}
    filter_enforced: {default_value: {numerator: 100}}
{{- end }}
{{- end }}
{{- if $envoy.rateLimit.enabled }}
- name: rate-limit
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: rate_limit
    token_bucket:
      max_tokens: {{ int $envoy.rateLimit.burst }}
      tokens_per_fill: {{ int $envoy.rateLimit.requestsPerSecond }}
      fill_interval: 1s
    filter_enabled: {default_value: {numerator: 100}}
    filter_enforced: {default_value: {numerator: 100}}
{{- end }}
# The whole request, before a pod is chosen: a slow sender holds no place in a pod's queue, and a request can be sent
# again to another pod.
- name: whole-request
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
    max_request_bytes: {{ mul (int $envoy.limits.requestMiB) 1048576 }}
- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
    suppress_envoy_headers: true
{{- end -}}

{{/* Whether keys stand in the values, so that the chart makes their Secret. */}}
{{- define "lipserve.envoy.ownKeys" -}}
{{- $auth := .Values.envoy.auth -}}
{{- if and .Values.envoy.enabled (eq $auth.mode "apiKey") (not $auth.apiKey.existingSecret) -}}true{{- end -}}
{{- end -}}

{{/* Keys come from a mounted Secret that holds this filter's configuration, and change with it, without a restart. */}}
{{- define "lipserve.envoy.apiKeys" -}}
- name: api-keys
  config_discovery:
    type_urls: [type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth]
    config_source:
      resource_api_version: V3
      initial_fetch_timeout: 5s
      path_config_source:
        path: /secrets/api-keys/api-keys.yaml
        watched_directory: {path: /secrets/api-keys}
{{- end -}}

{{- define "lipserve.envoy.jwt" -}}
{{- $auth := .Values.envoy.auth -}}
{{- $jwt := $auth.jwt -}}
- name: jwt
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
    providers:
      clients:
        issuer: {{ $jwt.issuer | quote }}
        audiences: {{ toJson $jwt.audiences }}
        forward: false
        clock_skew_seconds: 60
        require_expiration: true
        claim_to_headers: [{header_name: x-lipserve-client, claim_name: sub}]
        {{- if $jwt.jwks.uri }}
        remote_jwks:
          http_uri: {uri: {{ $jwt.jwks.uri | quote }}, cluster: jwks, timeout: 5s}
          cache_duration: 600s
          async_fetch: {}
          retry_policy: {num_retries: 3}
        {{- else }}
        local_jwks: {inline_string: {{ $jwt.jwks.inline | quote }}}
        {{- end }}
    rules:
      {{- if $auth.openHealth }}
      - match: {safe_regex: {regex: {{ include "lipserve.envoy.oneOf" (toJson (include "lipserve.envoy.methods" . | fromJson).health) }}}}
      {{- end }}
      - match: {prefix: /}
        requires: {provider_name: clients}
{{- end -}}
