//! Offers and answers, told as tests.
