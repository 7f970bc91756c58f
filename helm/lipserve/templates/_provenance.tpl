{{/* The certificate that signs results, and what is asked of requests. A Secret that changes is read again by the server. */}}

{{- define "lipserve.provenance.env" -}}
{{- with .Values.provenance }}
{{- if .enabled }}
- name: LIPSERVE_CERTIFICATE
  value: /secrets/provenance/tls.crt
- name: LIPSERVE_PRIVATE_KEY
  value: /secrets/provenance/tls.key
- name: LIPSERVE_PROVENANCE
  value: {{ .policy }}
{{- end }}
{{- if .requireConsent }}
- name: LIPSERVE_REQUIRE_CONSENT
  value: "1"
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.provenance.volumes" -}}
{{- if .Values.provenance.enabled }}
- name: provenance
  secret:
    secretName: {{ .Values.provenance.secretName | quote }}
    defaultMode: 0440
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- end -}}

{{- define "lipserve.provenance.volumeMounts" -}}
{{- if .Values.provenance.enabled }}
- name: provenance
  mountPath: /secrets/provenance
  readOnly: true
{{- end }}
{{- end -}}
