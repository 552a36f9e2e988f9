//! The browser's name and version, read off its User-Agent.

/// A name for people; `None` for what is no known browser.
pub(crate) fn name(user_agent: &str) -> Option<String> {
    let version = |product: &str| {
        let rest = user_agent.split_once(product)?.1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    };
    // The more particular name first: most browsers also claim to be others.
    let products = [
        ("Edge", "Edg/"),
        ("Opera", "OPR/"),
        ("Firefox", "Firefox/"),
        ("Chromium", "HeadlessChrome/"),
        ("Chromium", "Chrome/"),
        ("PhantomJS", "PhantomJS/"),
    ];
    for (name, product) in products {
        if let Some(version) = version(product) {
            return Some(format!("{name} {version}"));
        }
    }
    if !user_agent.contains("AppleWebKit/") {
        return None;
    }
    // Safari's own version stands behind "Version/". Elsewhere than on Apple's systems it is
    // another browser on the same engine.
    let name = if user_agent.contains("Linux") { "WebKitGTK" } else { "Safari" };
    Some(version("Version/").map_or_else(|| name.to_owned(), |version| format!("{name} {version}")))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn each_engine_is_told_by_its_own_name() {
        let gecko = "(KHTML, like Gecko)";
        let cases = [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0".to_owned(),
                Some("Firefox 153"),
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 {gecko} \
                      HeadlessChrome/156.0.0.0 Safari/537.36"
                ),
                Some("Chromium 156"),
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 {gecko} \
                      Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0"
                ),
                Some("Edge 156"),
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 {gecko} \
                      Version/26.0 Safari/605.1.15"
                ),
                Some("WebKitGTK 26"),
            ),
            (
                format!(
                    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 {gecko} \
                      Version/18.1 Safari/605.1.15"
                ),
                Some("Safari 18"),
            ),
            ("curl/7.88.1".to_owned(), None),
        ];
        for (user_agent, want) in cases {
            assert_eq!(name(&user_agent).as_deref(), want, "{user_agent}");
        }
    }
}
