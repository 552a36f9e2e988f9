//! Lists in the documents have what the code has: metrics, packages.

use super::{read, root};

/// The first string behind each occurrence of a call.
fn first_strings(source: &str, call: &str) -> Vec<String> {
    let behind = source.split(call).skip(1);
    behind.filter_map(|text| text.split('"').nth(1)).map(str::to_owned).collect()
}

#[test]
fn each_metric_stands_in_the_document() {
    let source = read(&root().join("crates/adieu-gateway/src/metrics.rs"));
    let document = read(&root().join("docs/operate.md"));
    let names: Vec<String> = ["registry.register(", "registry.register_with_unit("]
        .iter()
        .flat_map(|call| first_strings(&source, call))
        .collect();
    assert!(names.len() >= 20, "only {} metrics were found", names.len());
    for name in names {
        assert!(document.contains(&format!("`adieu_{name}")), "docs/operate.md: adieu_{name}");
    }
}

#[test]
fn each_package_that_the_tests_install_stands_in_the_document() {
    let source = read(&root().join("xtask/src/setup.rs"));
    let document = read(&root().join("docs/testing.md"));
    let (_, list) = source.split_once("const PACKAGES").expect("the list of packages");
    let (list, _) = list.split_once("];").expect("its end");
    let packages = first_strings(list, "\n    (");
    assert!(packages.len() >= 10, "only {} packages were found", packages.len());
    for package in packages {
        assert!(document.contains(&format!("`{package}`")), "docs/testing.md: {package}");
    }
}
