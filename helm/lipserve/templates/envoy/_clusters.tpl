{{/* The pods of Triton, from DNS: the headless Service has an address for each pod that is ready, and Envoy asks every
     second. EDS would take a control plane, or a sidecar with rights on EndpointSlices, to save that second; in it,
     and where a DNS cache is slower, the health check and the retries do the same work. */}}
{{- define "lipserve.envoy.tritonCluster" -}}
{{- $envoy := .Values.envoy -}}
{{- $host := printf "%s-headless.%s.svc.%s." (include "lipserve.fullname" .) .Release.Namespace $envoy.clusterDomain -}}
- name: triton
  cluster_type:
    name: envoy.cluster.dns
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
      dns_refresh_rate: 1s
      dns_failure_refresh_rate: {base_interval: 1s, max_interval: 5s}
      dns_lookup_family: ALL
  connect_timeout: 2s
  # A pod that has left DNS gets nothing new, though it is healthy until it is stopped. What it works on goes on.
  ignore_health_on_host_removal: true
  load_assignment:
    cluster_name: triton
    endpoints:
      - lb_endpoints:
          - endpoint:
              address:
                socket_address: {address: {{ $host }}, port_value: 8001}
              health_check_config: {port_value: 8080}
  # Segments take seconds to minutes: the pod with the fewest requests, of four drawn. Were it of all, a retry would
  # be offered the same pod again, for the one that refuses has the fewest.
  load_balancing_policy:
    policies:
      - typed_extension_config:
          name: envoy.load_balancing_policies.least_request
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest
            choice_count: 4
  common_lb_config:
    # Never to a pod that is not ready, however many are not.
    healthy_panic_threshold: {value: 0}
    ignore_new_hosts_until_first_hc: true
    # What a health check finds counts at once; Envoy's default lets its threads learn of it within a second.
    update_merge_window: 0s
  health_checks:
    # A 503 takes a pod out at once, silence after three tries: a busy pod answers late.
    - http_health_check: {path: /readyz, host: envoy}
      interval: 1s
      no_traffic_interval: 1s
      timeout: 3s
      unhealthy_threshold: 3
      healthy_threshold: 1
      {{- if .Values.tls.internal.enabled }}
      transport_socket_match_criteria: {plain: true}
      {{- end }}
  # Only pods that cannot be reached: an error of a request tells nothing of the pod, and a slow pod is a busy one.
  outlier_detection:
    split_external_local_origin_errors: true
    consecutive_local_origin_failure: 3
    enforcing_consecutive_local_origin_failure: 100
    enforcing_local_origin_success_rate: 0
    enforcing_consecutive_5xx: 0
    enforcing_consecutive_gateway_failure: 0
    enforcing_success_rate: 0
    interval: 1s
    base_ejection_time: 5s
    max_ejection_time: 30s
    max_ejection_percent: 50
  circuit_breakers:
    thresholds:
      - max_connections: 4096
        max_pending_requests: {{ int $envoy.limits.requests }}
        max_requests: {{ int $envoy.limits.requests }}
        retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 32}
  upstream_connection_options:
    tcp_keepalive: {keepalive_time: 30, keepalive_interval: 10, keepalive_probes: 3}
  # No HTTP/2 pings: gRPC servers close connections that are pinged more often than every five minutes.
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          initial_stream_window_size: 1048576
          initial_connection_window_size: 16777216
  {{- include "lipserve.envoy.upstreamTls" . | nindent 2 }}
{{- end -}}

{{- define "lipserve.envoy.adminCluster" -}}
- name: admin
  type: STATIC
  connect_timeout: 1s
  load_assignment:
    cluster_name: admin
    endpoints:
      - lb_endpoints:
          - endpoint:
              address:
                socket_address: {address: 127.0.0.1, port_value: 9901}
{{- end -}}

{{/* Where the public keys of tokens are fetched, as JSON: {"host", "port"}, or nothing. */}}
{{- define "lipserve.envoy.jwksAddress" -}}
{{- $auth := .Values.envoy.auth -}}
{{- if and (eq $auth.mode "jwt") $auth.jwt.jwks.uri -}}
{{- $host := (urlParse $auth.jwt.jwks.uri).host -}}
{{- $port := regexFind ":[0-9]+$" $host -}}
{{- dict "host" (trimSuffix $port $host) "port" (trimPrefix ":" $port | default "443" | int) | toJson -}}
{{- end -}}
{{- end -}}

{{/* Over TLS that the image's certificates vouch for. */}}
{{- define "lipserve.envoy.jwksCluster" -}}
{{- with include "lipserve.envoy.jwksAddress" . | fromJson }}
{{- if .host }}
- name: jwks
  cluster_type:
    name: envoy.cluster.dns
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
      dns_lookup_family: V4_PREFERRED
      respect_dns_ttl: true
  connect_timeout: 5s
  load_assignment:
    cluster_name: jwks
    endpoints:
      - lb_endpoints:
          - endpoint:
              address:
                socket_address: {address: {{ .host }}, port_value: {{ int .port }}}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: {{ .host | quote }}
      common_tls_context:
        validation_context:
          trusted_ca: {filename: {{ $.Values.envoy.auth.jwt.jwks.caFile | quote }}}
          match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: {{ .host }}}}]
{{- end }}
{{- end }}
{{- end -}}
