{{/* Envoy's bootstrap: two listeners, the pods of Triton, limits. Admin listens on loopback only. */}}
{{- define "lipserve.envoy.bootstrap" -}}
node:
  id: {{ include "lipserve.fullname" . }}-envoy
  cluster: {{ include "lipserve.fullname" . }}
admin:
  ignore_global_conn_limit: true
  address:
    socket_address: {address: 127.0.0.1, port_value: 9901}
static_resources:
  listeners:
    {{- include "lipserve.envoy.grpcListener" . | nindent 4 }}
    {{- include "lipserve.envoy.metricsListener" . | nindent 4 }}
  clusters:
    {{- include "lipserve.envoy.tritonCluster" . | nindent 4 }}
    {{- include "lipserve.envoy.adminCluster" . | nindent 4 }}
    {{- include "lipserve.envoy.jwksCluster" . | nindent 4 }}
{{ include "lipserve.envoy.overload" . }}
{{- end -}}

{{/* Memory is that of the container's own limit. Over it, a request is refused (UNAVAILABLE: clients send it again)
     before the kernel kills the whole proxy. */}}
{{- define "lipserve.envoy.overload" -}}
overload_manager:
  refresh_interval: 0.25s
  resource_monitors:
    - name: envoy.resource_monitors.cgroup_memory
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig
    - name: envoy.resource_monitors.global_downstream_max_connections
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
        max_active_downstream_connections: {{ int .Values.envoy.limits.connections }}
  actions:
    - name: envoy.overload_actions.shrink_heap
      triggers:
        - name: envoy.resource_monitors.cgroup_memory
          threshold: {value: 0.8}
    - name: envoy.overload_actions.stop_accepting_requests
      triggers:
        - name: envoy.resource_monitors.cgroup_memory
          threshold: {value: 0.92}
{{- end -}}
