//! The command line of `cargo xtask fuzz`.

use std::path::{Path, PathBuf};

use super::TARGETS;

/// What is run, and for how long.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// For each target; without it all together take a minute, and nothing is kept.
    pub(super) minutes: Option<u64>,
    /// This one alone.
    pub(super) target: Option<&'static str>,
    /// An input to run once.
    repeat: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match *name {
                "--minutes" => {
                    let minutes = value.parse().ok().filter(|minutes| *minutes > 0);
                    options.minutes =
                        Some(minutes.ok_or_else(|| format!("{value} is no number of minutes"))?);
                }
                "--target" => options.target = Some(named(value)?),
                "--repeat" => options.repeat = Some(value.into()),
                other => {
                    return Err(format!(
                        "fuzz has the options --minutes, --target and --repeat; not {other}"
                    ));
                }
            }
        }
        Ok(options)
    }

    pub(super) fn targets(&self) -> Vec<&'static str> {
        self.target.map_or_else(|| TARGETS.to_vec(), |target| vec![target])
    }

    /// The input that is to be repeated, and its target: the one that is named, or the one that the
    /// directory of the input is named for.
    pub(super) fn repeated(&self) -> Result<Option<(&'static str, &Path)>, String> {
        let Some(input) = &self.repeat else { return Ok(None) };
        let parent = input.parent().and_then(Path::file_name).unwrap_or_default();
        let target = match self.target {
            Some(target) => target,
            None => named(&parent.to_string_lossy())
                .map_err(|_| format!("of which target is {}? Say --target", input.display()))?,
        };
        Ok(Some((target, input)))
    }
}

fn named(name: &str) -> Result<&'static str, String> {
    let found = TARGETS.into_iter().find(|target| *target == name);
    found.ok_or_else(|| format!("there is no target {name}; there are {}", TARGETS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_an_input_is_named_by_its_directory() {
        let options = Options::parse(&["--repeat", "fuzz/artifacts/heads/crash-1"]).unwrap();
        let (target, input) = options.repeated().unwrap().unwrap();
        assert_eq!((target, input), ("heads", Path::new("fuzz/artifacts/heads/crash-1")));
        let options = Options::parse(&["--target", "wire", "--repeat", "/tmp/x"]).unwrap();
        assert_eq!(options.repeated().unwrap().unwrap().0, "wire");
        let nobody = Options::parse(&["--repeat", "crash-1"]).unwrap();
        assert!(nobody.repeated().unwrap_err().contains("--target"));
    }

    #[test]
    fn all_targets_are_run() {
        let manifest = std::fs::read_to_string(super::super::dir().join("Cargo.toml")).unwrap();
        let named = |name: &str| manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n"));
        assert!(TARGETS.into_iter().all(named));
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }

    #[test]
    fn each_target_has_inputs_to_begin_with() {
        for target in TARGETS {
            let seeds = super::super::dir().join("corpus").join(target);
            let some = std::fs::read_dir(&seeds).is_ok_and(|mut seeds| seeds.next().is_some());
            assert!(some, "{}: libFuzzer stops where it is missing", seeds.display());
        }
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for wrong in [
            &["--minutes"][..],
            &["--minutes", "0"],
            &["--minutes", "x"],
            &["--target", "tls"],
            &["--hours", "1"],
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
        let options = Options::parse(&["--minutes", "10", "--target", "proxy"]).unwrap();
        assert_eq!((options.minutes, options.targets()), (Some(10), vec!["proxy"]));
        assert_eq!(Options::parse(&[]).unwrap().targets().len(), TARGETS.len());
    }
}
