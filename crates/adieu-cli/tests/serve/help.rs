//! The help says what there is.

use crate::world::{adieu, refused};

fn help(arguments: &[&str]) -> String {
    let output = adieu(arguments).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_serve_describes_the_gateway_and_all_of_its_parts() {
    let help = help(&["serve", "--help"]);
    let (about, options) = help.split_once("Usage:").unwrap();
    for part in ["gateway", "backend", "page", "/ws", "hooks", "/api/", "/metrics", "adieu.v1"] {
        assert!(about.contains(part), "{part}: {about}");
    }
    for heading in ["Listen:", "Store:", "Backend (hooks):", "Limits:", "Log:", "Environment:"] {
        assert!(options.lines().any(|line| line == heading), "{heading}: {options}");
    }
    for name in [
        "--compress",
        "RUST_LOG",
        "NO_COLOR",
        "ADIEU_API_KEY",
        "ADIEU_BACKEND_SECRET",
        "Exit codes",
    ] {
        assert!(options.contains(name), "{name}: {options}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}

#[test]
fn the_first_help_names_the_commands_and_hides_none_behind_options() {
    let help = help(&["--help"]);
    for part in ["serve", "check", "connect", "gateway", "adieu serve --help"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(!help.contains("--listen"), "{help}");
    assert!(help.lines().count() < 30, "{help}");
}

#[test]
fn an_option_in_front_of_the_command_is_not_ignored() {
    let said = refused(adieu(&["--listen", "127.0.0.1:0", "serve"]));
    assert!(said.contains("serve") && said.contains("--listen"), "{said}");
}
