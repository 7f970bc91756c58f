{{/* What clients call. */}}
{{- define "lipserve.envoy.grpcListener" -}}
{{- $times := include "lipserve.lifecycle" . | fromJson -}}
- name: grpc
  # What the drain before the end closes; metrics stay.
  traffic_direction: INBOUND
  address:
    {{- include "lipserve.envoy.listen" (dict "context" . "port" 8001) | nindent 4 }}
  per_connection_buffer_limit_bytes: 1048576
  filter_chains:
    - filters:
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: grpc
            codec_type: HTTP2
            http2_protocol_options:
              max_concurrent_streams: 1000
              initial_stream_window_size: 1048576
              initial_connection_window_size: 16777216
              connection_keepalive: {interval: 60s, timeout: 20s}
            common_http_protocol_options:
              # Sends clients to other replicas now and then: a Service balances connections, not calls. What a client
              # is just about to send then never leaves it, and gRPC starts it again (docs/operations/front.md).
              max_connection_duration: 900s
            # A request says nothing while it is computed: Envoy's own 5 minutes would cut it off.
            stream_idle_timeout: {{ int $times.requestTimeout }}s
            # A client that sends its request this slowly is none.
            request_timeout: 300s
            request_headers_timeout: 10s
            # Between the GOAWAY that refuses nothing and the one that names the last call: what is under way arrives.
            drain_timeout: 5s
            use_remote_address: true
            normalize_path: true
            server_header_transformation: PASS_THROUGH
            {{- include "lipserve.envoy.accessLog" . | nindent 12 }}
            {{- include "lipserve.envoy.localReplies" . | nindent 12 }}
            http_filters:
              {{- include "lipserve.envoy.filters" . | nindent 14 }}
            route_config:
              {{- include "lipserve.envoy.routes" . | nindent 14 }}
      {{- include "lipserve.envoy.downstreamTls" . | nindent 6 }}
{{- end -}}

{{/* An address of the pod: (dict "context" $ "port" 8001). */}}
{{- define "lipserve.envoy.listen" -}}
{{- $address := .context.Values.listenAddress -}}
socket_address: {address: {{ $address | quote }}, port_value: {{ .port }}, ipv4_compat: {{ eq $address "::" }}}
{{- end -}}

{{/* What Prometheus and the kubelet read; nothing else of admin can be reached. */}}
{{- define "lipserve.envoy.metricsListener" -}}
- name: metrics
  ignore_global_conn_limit: true
  address:
    {{- include "lipserve.envoy.listen" (dict "context" . "port" 8002) | nindent 4 }}
  filter_chains:
    - filters:
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: metrics
            http_filters:
              - name: envoy.filters.http.router
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
            route_config:
              virtual_hosts:
                - name: metrics
                  domains: ["*"]
                  routes:
                    {{- range $path := list "/stats/prometheus" "/ready" }}
                    - match:
                        path: {{ $path }}
                        headers: [{name: ":method", string_match: {exact: GET}}]
                      # Without its query: what is read is always the same page.
                      route: {cluster: admin, regex_rewrite: {pattern: {regex: ".*"}, substitution: {{ $path }}}, timeout: 10s}
                    {{- end }}
{{- end -}}

{{/* One line of JSON for each request; health checks are left out. */}}
{{- define "lipserve.envoy.accessLog" -}}
{{- if .Values.envoy.accessLog -}}
access_log:
  - name: envoy.access_loggers.stdout
    filter:
      header_filter:
        header:
          name: ":path"
          string_match: {safe_regex: {regex: "/grpc.health.v1.Health/.*|.*/(Server|Model)(Live|Ready)"}}
          invert_match: true
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
      log_format:
        json_format:
          time: "%START_TIME%"
          method: "%REQ(:PATH)%"
          grpc_status: "%GRPC_STATUS%"
          grpc_message: "%RESP(GRPC-MESSAGE)%"
          details: "%RESPONSE_CODE_DETAILS%"
          flags: "%RESPONSE_FLAGS%"
          milliseconds: "%DURATION%"
          upstream_milliseconds: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"
          attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
          bytes_received: "%BYTES_RECEIVED%"
          bytes_sent: "%BYTES_SENT%"
          pod: "%UPSTREAM_HOST%"
          peer: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
          certificate: "%DOWNSTREAM_PEER_SUBJECT%"
          client: "%REQ(X-LIPSERVE-CLIENT)%"
          trace: "%REQ(TRACEPARENT)%"
{{- end -}}
{{- end -}}

{{/* What Envoy itself answers, in words that the client knows. */}}
{{- define "lipserve.envoy.localReplies" -}}
local_reply_config:
  mappers:
    - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 429, runtime_key: unused}}}}
      body_format_override: {text_format_source: {inline_string: "too many requests: try again in a few seconds"}}
    - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 413, runtime_key: unused}}}}
      body_format_override: {text_format_source: {inline_string: "the request is larger than {{ int .Values.envoy.limits.requestMiB }} MiB"}}
      headers_to_add: [{header: {key: grpc-status, value: "8"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
{{- end -}}
