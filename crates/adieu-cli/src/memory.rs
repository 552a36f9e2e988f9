//! Memory goes back to the system when those have gone who took it.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) use glibc::give_back;

/// Other allocators do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

/// What glibc keeps: at the end of an arena twice the largest block that was ever freed, up to
/// 64 MiB, and with that all that lies below it; and each page that is free between two that are
/// used, for ever. 2,000 clients had taken 562 MiB, and 554 stayed; 15,000 silent ones 71, and 63
/// stayed (conformance/strangers.txt has what stays now).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::time::Duration;

    /// Free memory of which that much is kept at the end of an arena. A part of what a burst takes:
    /// the next one has to ask for it again, which takes microseconds.
    const KEPT: i32 = 1 << 20;

    /// How often is looked whether there is much to give back. A look reads two numbers.
    const LOOK: Duration = Duration::from_secs(10);

    /// What is worth it: to give memory back, the pages between those that are used are looked for,
    /// which takes a millisecond for some ten MiB, and allocations of the same arena wait.
    const WORTH: usize = 8 << 20;

    /// Has glibc give memory back, now and from now on.
    pub(crate) fn give_back() {
        set_threshold();
        let looking = std::thread::Builder::new().name("adieu-memory".to_owned());
        // Without it the process only keeps more than it needs.
        let _ = looking.stack_size(64 * 1024).spawn(|| {
            let mut stays = resident();
            loop {
                std::thread::sleep(LOOK);
                stays = look(stays);
            }
        });
    }

    /// Gives back what is free if much has come since the last time, of which so much stayed. Says
    /// how much stays now.
    fn look(stays: usize) -> usize {
        let resident_now = resident();
        if resident_now < stays + WORTH {
            return stays.min(resident_now);
        }
        if resident_now < in_use() + WORTH {
            return stays;
        }
        trim();
        resident()
    }

    /// Memory of this process, in bytes; 0 where that cannot be known.
    fn resident() -> usize {
        let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
        pages.unwrap_or(0) * page()
    }

    #[allow(unsafe_code)]
    fn page() -> usize {
        // SAFETY: it reads a number of the system.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
    }

    #[allow(unsafe_code)]
    fn set_threshold() {
        // SAFETY: it sets a number of the allocator, under the allocator's lock, and takes no
        // pointer. A refusal leaves the number as it was.
        unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) };
    }

    /// Bytes that are allocated.
    #[allow(unsafe_code)]
    fn in_use() -> usize {
        // SAFETY: it reads numbers of the allocator, under the allocator's lock.
        let info = unsafe { libc::mallinfo2() };
        info.uordblks + info.hblkhd
    }

    #[allow(unsafe_code)]
    fn trim() {
        // SAFETY: it gives free pages back, under the allocator's lock, and takes no pointer.
        unsafe { libc::malloc_trim(0) };
    }
}
