// Where a result comes from: what its manifest (C2PA) says, and how anybody can check it.
import { job as path } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { bytes, clock, number } from "./format.js";
import { t } from "./text.js";

const C2PA = "d8fec3d61b0e483c92975828877ec481"; // the type of the box with a manifest: C2PA 2.1, A.5
const LOOKED = 4096; // bytes from the beginning, which hold the boxes before the pictures
const SHOWN = 5;

/** Return the part of the page that tells where a result comes from. */
export function origin(view, report, signal) {
  const signed = h("p.signed.muted", { role: "status" }, t("origin.looking"));
  manifest(view, signal)
    .then((size) => {
      signed.dataset.signed = String(size > 0);
      fill(
        signed,
        icon(size ? "seal" : "warning"),
        h("span", {}, size ? t("origin.signed", { size: bytes(size) }) : t("origin.unsigned")),
      );
    })
    .catch(() => {}); // it was left
  const stretches = report.driven.map(([first, last]) =>
    t("figure.between", {
      begin: clock(first / report.fps, true),
      end: clock((last + 1) / report.fps, true),
    }),
  );
  const rest = stretches.length - SHOWN;
  const driven = [
    ...stretches.slice(0, SHOWN),
    ...(rest > 0 ? [t("figure.more", { count: rest })] : []),
  ].join(", ");
  const rows = [
    [t("origin.kind"), t(report.driven_frames ? "origin.composite" : "origin.transcoded")],
    [t("origin.tool"), t("origin.tier", { tier: t(`tier.${report.tier}.name`) })],
    [t("origin.driven"), driven || t("origin.nothing")],
    [
      t("origin.picture"),
      t("origin.size", {
        width: String(report.width),
        height: String(report.height),
        fps: number(report.fps, report.fps % 1 ? 2 : 0),
        count: report.frames,
      }),
    ],
    [
      t("origin.weights"),
      h("details", {}, h("summary", {}, t("origin.show")), h("span.exact", {}, report.weights)),
    ],
  ];
  return h(
    "section.origin",
    { "aria-labelledby": "origin-title" },
    h("h2", { id: "origin-title" }, t("origin.title")),
    signed,
    h("dl.facts", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("p.muted", {}, t("origin.verify")),
    h("pre", { tabindex: "0" }, h("code", {}, "lipserve verify out.mp4")),
  );
}

/** Return the bytes of a result's manifest, 0 where it has none: read from the boxes of the file itself. */
async function manifest(view, signal) {
  const answer = await fetch(path(view.id, "result"), {
    headers: { Range: `bytes=0-${LOOKED - 1}` },
    signal,
  });
  const data = new DataView(await answer.arrayBuffer());
  let at = 0;
  while (at + 24 <= data.byteLength) {
    const size = data.getUint32(at);
    if (data.getUint32(at + 4) === 0x75756964 && hex(data, at + 8, 16) === C2PA) return size;
    if (size < 8) return 0;
    at += size;
  }
  return 0;
}

const hex = (data, at, count) =>
  Array.from({ length: count }, (_, place) =>
    data
      .getUint8(at + place)
      .toString(16)
      .padStart(2, "0"),
  ).join("");
