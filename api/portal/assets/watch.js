// Says so when a script or style of the page does not load or does not run. It is no module, and uses no recent syntax,
// because it also runs in browsers in which the modules do not.
(function () {
  var root = document.documentElement
  var assets = location.origin + '/portal/'

  function show() {
    root.setAttribute('data-broken', '')
  }

  addEventListener('error', function (event) {
    var element = event.target
    if (element && (element.tagName === 'SCRIPT' || element.tagName === 'LINK')) show()
    // A module with a syntax error, or one that fails while it starts.
    else if (event.filename && event.filename.indexOf(assets) === 0 && !root.hasAttribute('data-loaded')) show()
  }, true)
  addEventListener('load', function () {
    if (!root.hasAttribute('data-started')) show()
    root.setAttribute('data-loaded', '')
  })
})()
