{{/* Envoy's certificates lie in mounted Secrets and are read through SDS files, which Envoy watches: a renewed
     certificate is used by the next connection, without a restart. */}}
{{- define "lipserve.envoy.sds" -}}
{name: {{ .name }}, sds_config: {resource_api_version: V3, path_config_source: {path: /etc/envoy/{{ .name }}.yaml}}}
{{- end -}}

{{- define "lipserve.envoy.downstreamTls" -}}
{{- if .Values.tls.enabled -}}
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    require_client_certificate: {{ .Values.tls.clients.required }}
    common_tls_context:
      alpn_protocols: [h2]
      tls_params: {tls_minimum_protocol_version: TLSv1_2}
      tls_certificate_sds_secret_configs:
        - {{ include "lipserve.envoy.sds" (dict "name" "front-certificate") }}
      {{- if .Values.tls.clients.required }}
      validation_context_sds_secret_config: {{ include "lipserve.envoy.sds" (dict "name" "front-clients") }}
      {{- end }}
{{- end -}}
{{- end -}}

{{/* Mutual TLS to the pods; their health port speaks plain HTTP. */}}
{{- define "lipserve.envoy.upstreamTls" -}}
{{- if .Values.tls.internal.enabled -}}
transport_socket_matches:
  - name: plain
    match: {plain: true}
    transport_socket:
      name: envoy.transport_sockets.raw_buffer
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {{ include "lipserve.tls.internalName" . }}
    common_tls_context:
      tls_params: {tls_minimum_protocol_version: TLSv1_2}
      tls_certificate_sds_secret_configs:
        - {{ include "lipserve.envoy.sds" (dict "name" "internal-certificate") }}
      combined_validation_context:
        default_validation_context:
          match_typed_subject_alt_names:
            - {san_type: DNS, matcher: {exact: {{ include "lipserve.tls.internalName" . }}}}
        validation_context_sds_secret_config: {{ include "lipserve.envoy.sds" (dict "name" "internal-authority") }}
{{- end -}}
{{- end -}}

{{/* SDS file of a certificate (tls.crt, tls.key) in /secrets/<folder>: (dict "name" n "folder" f). */}}
{{- define "lipserve.envoy.certificateFile" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: {{ .name }}
    tls_certificate:
      certificate_chain: {filename: /secrets/{{ .folder }}/tls.crt}
      private_key: {filename: /secrets/{{ .folder }}/tls.key}
      watched_directory: {path: /secrets/{{ .folder }}}
{{- end -}}

{{/* SDS file of an authority (ca.crt) in /secrets/<folder>: (dict "name" n "folder" f). */}}
{{- define "lipserve.envoy.authorityFile" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: {{ .name }}
    validation_context:
      trusted_ca: {filename: /secrets/{{ .folder }}/ca.crt}
      watched_directory: {path: /secrets/{{ .folder }}}
{{- end -}}
