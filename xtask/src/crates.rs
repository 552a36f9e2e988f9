//! Which crates are published, and with which features they are looked at.

use serde_json::Value;

/// Features that a check of the interface leaves out: they add nothing to it that is promised.
/// aws-lc-rs alone is minutes of C.
const LEFT_OUT: &[&str] = &["default", "testing", "aws-lc-rs"];

/// The packages of `cargo metadata` that are published, in its order.
pub(crate) fn published(metadata: &Value) -> impl Iterator<Item = &Value> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    // `publish = false` is an empty list of registries; no word on it is null.
    packages.filter(|package| package["publish"].is_null())
}

/// A field of a package; empty where it says nothing.
pub(crate) fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// The features of a package that add to its interface, as cargo's `--features` takes them.
pub(crate) fn features(package: &Value) -> String {
    let all = package["features"].as_object().into_iter().flatten();
    let names = all.map(|(name, _)| name.as_str()).filter(|name| !LEFT_OUT.contains(name));
    let names: Vec<String> =
        names.map(|name| format!("{}/{name}", text(package, "name"))).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn published_crates_are_told_from_private_ones() {
        let metadata = json!({ "packages": [
            { "name": "a", "publish": null },
            { "name": "b", "publish": [] },
        ]});
        let names: Vec<&str> = published(&metadata).map(|package| text(package, "name")).collect();
        assert_eq!(names, ["a"]);
    }

    #[test]
    fn features_for_tests_are_left_out() {
        let package =
            json!({ "name": "a", "features": { "default": ["x"], "testing": [], "x": [] } });
        assert_eq!(features(&package), "a/x");
    }
}
