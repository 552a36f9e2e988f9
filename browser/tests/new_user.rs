//! The path of a new user, by the commands of the README alone: from `git clone` to two browsers
//! that talk to each other over the gateway, with a backend behind it.
//!
//! The commands bind the ports that the README names. So the whole test runs in a network namespace
//! of its own, where they are free; that needs root or user namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use browser::server::repository;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result};
use serde_json::json;

/// As many as the README may ask of a new user.
const MOST_COMMANDS: usize = 10;

/// The build with an empty target directory, on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

const LIMIT: Duration = Duration::from_secs(60);

/// Set where the test is inside of its namespace.
const INSIDE: &str = "NEW_USER_INSIDE";

/// Set for the long form: the clone is built anew, as a new user does it.
const COLD: &str = "NEW_USER_COLD";

const NAME: &str = "a_new_user_has_two_browsers_talk_by_the_commands_of_the_readme";

/// What is named after a command that starts the gateway.
const RUN: &str = "cargo run --release --";

#[test]
fn a_new_user_has_two_browsers_talk_by_the_commands_of_the_readme() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() { walk() } else { inside_a_namespace() }
}

/// Runs this test again, alone, where its ports are free.
fn inside_a_namespace() -> Result<()> {
    let test = std::env::current_exe().map_err(Error::io("find the test"))?;
    // Root may have one as it is; others become root of their own namespace for it.
    for as_root in [&[][..], &["--user", "--map-root-user"]] {
        let unshare = |program: &[&str]| {
            let mut command = Command::new("unshare");
            command.args(as_root).args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\""]);
            command.arg("sh").args(program);
            command
        };
        if unshare(&["true"]).status().is_ok_and(|status| status.success()) {
            let test = test.to_string_lossy();
            let status =
                unshare(&[&test, NAME, "--exact", "--nocapture"]).env(INSIDE, "1").status();
            let status = status.map_err(Error::io("run the test in its namespace"))?;
            assert!(status.success(), "in its namespace: {status}");
            return Ok(());
        }
    }
    println!("SKIP: no network namespace can be made here (unshare --net, iproute2)");
    assert!(std::env::var_os("CI").is_none(), "in CI it can");
    Ok(())
}

fn walk() -> Result<()> {
    let (Some(mut anna), Some(mut ben)) = (start(Kind::Chromium)?, start(Kind::Firefox)?) else {
        return Ok(());
    };
    let commands = commands_of_the_readme();
    assert!(commands.len() <= MOST_COMMANDS, "{} commands: {commands:#?}", commands.len());
    let cold = std::env::var_os(COLD).is_some();
    let home = Home::new()?;
    let from = Instant::now();
    let mut user = Shell::start(&home.0, &literally(&commands, cold))?;
    let url = "http://127.0.0.1:8080/session?user=";
    wait_for("the gateway of the README", BUILD_LIMIT, || {
        assert_eq!(user.exited()?, None, "the commands ended");
        Ok(std::net::TcpStream::connect("127.0.0.1:8080").ok())
    })?;
    let served = from.elapsed();
    for (browser, user) in [(&mut anna, "anna"), (&mut ben, "ben")] {
        browser.navigate(&format!("{url}{user}"))?;
        wait_for(format_args!("{user}'s session"), LIMIT, || {
            let state = browser.execute("return document.body.dataset.state", &[])?;
            Ok((state == "open").then_some(()))
        })?;
    }
    say(&mut anna, "@ben hello")?;
    is_shown(&mut ben, "anna: hello")?;
    say(&mut ben, "@anna hello to you")?;
    is_shown(&mut anna, "ben: hello to you")?;
    let all = from.elapsed();
    let build = if cold { "with" } else { "without" };
    tell(&format!(
        "{} commands of the README, from `git clone` to a chat of {} and {}: {:.1} s {build} the \
         build, of which {:.1} s until the gateway served",
        commands.len(),
        anna.version(),
        ben.version(),
        all.as_secs_f64(),
        served.as_secs_f64(),
    ));
    anna.quit()?;
    ben.quit()
}

/// A figure, kept where the long form asks for it.
fn tell(figure: &str) {
    println!("{figure}");
    if let Some(file) = std::env::var_os("ADIEU_FIGURES") {
        fs::write(&file, format!("{figure}\n")).expect("the file of figures");
    }
}

/// The commands as a user types them, with the address of this repository; and without the build,
/// where that is not part of the test.
fn literally(commands: &[String], cold: bool) -> String {
    let repository = repository().canonicalize().unwrap_or_default();
    let program = std::env::var_os("ADIEU_BIN").map(PathBuf::from);
    let program = program.unwrap_or_else(|| repository.join("target/release/adieu"));
    let program = program.to_string_lossy();
    let typed = commands.iter().map(|command| {
        let command = command.replace("ADDRESS", &repository.to_string_lossy());
        if cold { command } else { command.replace(RUN, &program) }
    });
    // The one that only shows the live page is left for the other that does so too.
    typed.filter(|command| *command != "cargo run --release").collect::<Vec<_>>().join("\n")
}

/// Those of the block with `git clone`, and of the block with a backend.
fn commands_of_the_readme() -> Vec<String> {
    let readme = repository().join("README.md");
    let readme = fs::read_to_string(&readme).expect("the README");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let path = blocks.filter(|block| block.contains("git clone") || block.contains("backend"));
    path.flat_map(str::lines).map(str::to_owned).collect()
}

fn start(kind: Kind) -> Result<Option<Browser>> {
    match Browser::start(kind) {
        Ok(browser) => Ok(Some(browser)),
        Err(missing @ Error::NotInstalled { .. }) => browser::skip(&missing).map(|()| None),
        Err(error) => Err(error),
    }
}

fn say(browser: &mut Browser, text: &str) -> Result<()> {
    let script = "document.getElementById('text').value = arguments[0];
                  document.getElementById('send').click()";
    browser.execute(script, &[json!(text)]).map(drop)
}

fn is_shown(browser: &mut Browser, text: &str) -> Result<()> {
    wait_for(format_args!("{text:?} on the page"), LIMIT, || {
        let shown = browser.execute("return document.body.innerText", &[])?;
        Ok(shown.as_str().is_some_and(|shown| shown.contains(text)).then_some(()))
    })
}

/// An empty folder of the user's, removed at the end.
struct Home(PathBuf);

impl Home {
    fn new() -> Result<Home> {
        let name = format!("adieu-new-user-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(Error::io(format!("make {}", path.display())))?;
        Ok(Home(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The user's shell with all that runs in it, ended when it is dropped.
struct Shell(Child);

impl Shell {
    fn start(folder: &Path, commands: &str) -> Result<Shell> {
        use std::os::unix::process::CommandExt;
        let mut bash = Command::new("bash");
        bash.args(["-e", "-c", commands]).current_dir(folder).process_group(0);
        bash.stdin(Stdio::null()).env_remove("CARGO_TARGET_DIR");
        bash.spawn().map(Shell).map_err(Error::io("start bash"))
    }

    fn exited(&mut self) -> Result<Option<std::process::ExitStatus>> {
        self.0.try_wait().map_err(Error::io("look at bash"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-TERM", "--", &group]).status());
        drop(self.0.wait());
    }
}
