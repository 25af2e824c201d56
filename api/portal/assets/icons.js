// Icons by name, from `icons.svg`. An icon says nothing to a screen reader: the text or label beside it does.
const SVG = 'http://www.w3.org/2000/svg'

export function icon(name) {
  const made = document.createElementNS(SVG, 'svg')
  made.setAttribute('class', 'icon')
  made.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(SVG, 'use')
  use.setAttribute('href', `/portal/assets/icons.svg#${name}`)
  made.append(use)
  return made
}
