import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'
import { emojiSet } from './emoji-set.ts'
import { providerMarks } from './provider-marks.ts'

/** Where `npm start` listens; `vite` in this folder then serves the dashboard with live changes over that server. */
const server = 'http://127.0.0.1:3000'

export default defineConfig({
  plugins: [react(), tailwindcss(), providerMarks(), emojiSet()],
  build: {
    // Fonts stay files: inlined they would be data: URLs, which the server's policy allows for images only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/v1': server, '/socket.io': { target: server, ws: true } },
  },
})
