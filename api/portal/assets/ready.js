// On the page of a service that is starting: loads the page again once the service is ready.
const SECONDS = 2

async function look() {
  try {
    const response = await fetch('/health/ready', { cache: 'no-store' })
    if (response.ok) {
      location.reload()
      return
    }
  } catch { /* it does not listen yet */ }
  setTimeout(look, SECONDS * 1000)
}

setTimeout(look, SECONDS * 1000)
