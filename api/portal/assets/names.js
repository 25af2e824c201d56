// The names of people who signed in with an identity provider, whom access lists and logs call `user:ID`.
import { get } from './rest.js'

const AT_ONCE = 50
const names = new Map()
const asked = new Set()

// The name of `user:ID`, or undefined if it is not loaded, or the person never signed in.
export const nameOf = (subject) => names.get(subject)

// Loads the names of subjects such as `user:ID`. Where that fails, pages show ids.
export async function loadNames(subjects) {
  const missing = [...new Set(subjects)].filter((each) => each?.startsWith('user:') && !asked.has(each))
  for (let at = 0; at < missing.length; at += AT_ONCE) {
    const some = missing.slice(at, at + AT_ONCE)
    try {
      keepNames((await get('/v1/people', { user: some.map((each) => each.slice('user:'.length)) })).people)
      for (const each of some) asked.add(each)
    } catch { return }
  }
}

export function keepNames(people) {
  for (const { user, name } of people) names.set(`user:${user}`, name)
}
