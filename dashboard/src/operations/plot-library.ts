// A chunk of its own, fetched when the first plot is shown: nobody else needs it.
import 'uplot/dist/uPlot.min.css'

export { default as uPlot } from 'uplot'
