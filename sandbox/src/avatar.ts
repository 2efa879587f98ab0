import { crc32, deflateSync } from 'node:zlib'

const size = 128
type Colour = readonly [red: number, green: number, blue: number]

/** A portrait without a face: head and shoulders before a soft ground, in one hue. 128 × 128, RGB, some 5 kB. */
export function avatarPng(hue: number): Buffer {
  const ground: readonly [Colour, Colour] = [hsl(hue, 0.55, 0.8), hsl(hue + 24, 0.5, 0.66)]
  const figure: readonly [Colour, Colour] = [hsl(hue, 0.5, 0.42), hsl(hue + 24, 0.52, 0.3)]
  const raster = Buffer.alloc((size * 3 + 1) * size)
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const t = (x + y) / (2 * size)
      const cover = Math.max(edge(x, y, 64, 50, 23, 25), edge(x, y, 64, 128, 45, 44))
      const colour = mix(mix(ground[0], ground[1], t), mix(figure[0], figure[1], y / size), cover)
      raster.set(colour.map(Math.round), y * (size * 3 + 1) + 1 + x * 3)
    }
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size, 0)
  header.writeUInt32BE(size, 4)
  header.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(raster, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** How much of the pixel an ellipse covers, its edge two pixels soft. */
function edge(x: number, y: number, cx: number, cy: number, rx: number, ry: number): number {
  const distance = (Math.hypot((x - cx) / rx, (y - cy) / ry) - 1) * Math.min(rx, ry)
  return Math.min(1, Math.max(0, 0.5 - distance / 2))
}

function mix(from: Colour, to: Colour, part: number): Colour {
  const at = (index: 0 | 1 | 2) => from[index] + (to[index] - from[index]) * part
  return [at(0), at(1), at(2)]
}

/** CSS Color 4, section 7.1. */
function hsl(hue: number, saturation: number, lightness: number): Colour {
  const channel = (n: number) => {
    const k = (n + hue / 30) % 12
    const amplitude = saturation * Math.min(lightness, 1 - lightness)
    return 255 * (lightness - amplitude * Math.max(-1, Math.min(k - 3, 9 - k, 1)))
  }
  return [channel(0), channel(8), channel(4)]
}

/** PNG specification, section 5.3. */
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const frame = Buffer.alloc(8)
  frame.writeUInt32BE(data.length, 0)
  frame.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
}
