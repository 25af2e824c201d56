// Preferences for this browser: theme, language and density. The server reads the cookies and writes the page
// accordingly, so that nothing flashes; here a choice is stored and shown at once.
const YEAR_SECONDS = 31_536_000
const root = document.documentElement

function store(name, value) {
  const secure = location.protocol === 'https:' ? '; secure' : ''
  const age = value ? YEAR_SECONDS : 0
  document.cookie = `leadline-${name}=${value}; path=/; max-age=${age}; samesite=lax${secure}`
}

function show(name, value) {
  if (value) root.dataset[name] = value
  else delete root.dataset[name]
  if (name === 'theme') document.querySelector('meta[name="color-scheme"]').content = value || 'light dark'
}

export function installPreferences(form) {
  form.addEventListener('change', ({ target }) => {
    store(target.name, target.value)
    if (target.name === 'language') location.reload()
    else show(target.name, target.value)
  })
}
