// The binary framing of `v1.kernel.websocket.jupyter.org`.
//
// A frame starts with a table of little-endian 64-bit numbers: the number of offsets and the
// offsets. The segments follow: channel, header, parent_header, metadata, content, and any buffers.
// The last offset is the length.

export const SUBPROTOCOL = "v1.kernel.websocket.jupyter.org";

const JSON_PARTS = ["header", "parent_header", "metadata", "content"];

/** Encodes a message as a binary frame. */
export function encode(message) {
  const utf8 = new TextEncoder();
  const segments = [
    utf8.encode(message.channel),
    ...JSON_PARTS.map((part) => utf8.encode(JSON.stringify(message[part] ?? {}))),
    ...(message.buffers ?? []),
  ];
  const offsets = [8 * (segments.length + 2)];
  for (const segment of segments) offsets.push(offsets.at(-1) + segment.byteLength);

  const frame = new Uint8Array(offsets.at(-1));
  const view = new DataView(frame.buffer);
  [offsets.length, ...offsets].forEach((number, index) => view.setBigUint64(8 * index, BigInt(number), true));
  segments.forEach((segment, index) => frame.set(segment, offsets[index]));
  return frame;
}

/** Decodes a binary frame (an `ArrayBuffer`). Throws a `RangeError` if it is malformed. */
export function decode(frame) {
  const view = new DataView(frame);
  const count = Number(view.getBigUint64(0, true));
  if (count < JSON_PARTS.length + 2 || 8 * (count + 1) > frame.byteLength) throw new RangeError("malformed kernel message");
  const offsets = Array.from({ length: count }, (_, index) => Number(view.getBigUint64(8 * (index + 1), true)));
  const segments = offsets.slice(0, -1).map((start, index) => {
    const end = offsets[index + 1];
    if (start > end || end > frame.byteLength) throw new RangeError("malformed kernel message");
    return new Uint8Array(frame, start, end - start);
  });

  const utf8 = new TextDecoder();
  const [channel, ...rest] = segments;
  const message = { channel: utf8.decode(channel), buffers: rest.slice(JSON_PARTS.length) };
  JSON_PARTS.forEach((part, index) => (message[part] = JSON.parse(utf8.decode(rest[index]))));
  message.parent_header ??= {};
  return message;
}
