// Durations as people say them: the two largest units.
import { number } from './dom.js'
import { t } from './text.js'

const HOUR = 3600

export function duration(seconds) {
  if (seconds < 0.5) return t('under 1 s')
  const whole = Math.round(seconds)
  if (whole < 60) return t('{seconds} s', { seconds: whole })
  if (whole < HOUR) {
    const minutes = Math.floor(whole / 60)
    return whole % 60 ? t('{minutes} min {seconds} s', { minutes, seconds: whole % 60 }) : t('{minutes} min', { minutes })
  }
  const hours = number(Math.floor(whole / HOUR))
  const minutes = Math.floor((whole % HOUR) / 60)
  return minutes ? t('{hours} h {minutes} min', { hours, minutes }) : t('{hours} h', { hours })
}
