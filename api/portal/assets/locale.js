// The locale of numbers and dates: the browser's where it is of the page's language, and the page's language otherwise.
// Some browsers name locales that `Intl` does not know, such as `C` and `en-US@posix`.
function known(name) {
  try {
    return Intl.NumberFormat.supportedLocalesOf(name).length > 0
  } catch {
    return false
  }
}

export const LANGUAGE = document.documentElement.lang || 'en'
export const LOCALE = (navigator.languages ?? []).find((each) => each.split('-')[0] === LANGUAGE && known(each)) ?? LANGUAGE
