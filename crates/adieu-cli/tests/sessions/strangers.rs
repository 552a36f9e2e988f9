//! Strangers who say nothing, too much, or guess.
