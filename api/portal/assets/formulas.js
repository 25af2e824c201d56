// Typesets formulas as MathML. Temml reads TeX into a tree; the elements are made here, of known kinds and attributes
// only, so that a model's formula can neither link nor load anything.
import temml from './temml.js'
import { readable } from './dom.js'

const MATHML = 'http://www.w3.org/1998/Math/MathML'
const ELEMENTS = new Set(['math', 'menclose', 'merror', 'mfrac', 'mi', 'mmultiscripts', 'mn', 'mo', 'mover', 'mpadded', 'mphantom', 'mprescripts', 'mroot', 'mrow', 'ms', 'mspace', 'msqrt', 'mstyle', 'msub', 'msubsup', 'msup', 'mtable', 'mtd', 'mtext', 'mtr', 'munder', 'munderover', 'none'])
const ATTRIBUTES = new Set(['accent', 'accentunder', 'columnalign', 'columnspan', 'depth', 'dir', 'display', 'displaystyle', 'fence', 'form', 'height', 'largeop', 'linethickness', 'lspace', 'mathvariant', 'maxsize', 'minsize', 'movablelimits', 'notation', 'rspace', 'scriptlevel', 'separator', 'stretchy', 'symmetric', 'voffset', 'width'])
const MOST_SIGNS = 5_000

// Puts a formula in the place of its source. Raises what the library says of a formula that it does not know.
export function typeset(place, tex, display) {
  if (tex.length > MOST_SIGNS) return
  const tree = temml.__renderToMathMLTree(tex, { displayMode: display, throwOnError: true, trust: false, maxSize: [10, 10], maxExpand: 200, annotate: false })
  const made = elementOf(tree)
  made.setAttribute('display', display ? 'block' : 'inline')
  made.setAttribute('aria-label', readable(tex))
  place.replaceChildren(made)
}

function elementOf(node) {
  if (typeof node.text === 'string') return document.createTextNode(readable(node.text))
  const children = (node.children ?? []).map(elementOf)
  if (!ELEMENTS.has(node.type)) {
    const together = document.createDocumentFragment()
    together.append(...children)
    return together
  }
  const made = document.createElementNS(MATHML, node.type)
  const attributes = Object.entries(node.attributes ?? {})
  // guard: formula-attributes
  const known = attributes.filter(([name]) => ATTRIBUTES.has(name))
  for (const [name, value] of known) made.setAttribute(name, value)
  made.append(...children)
  return made
}
