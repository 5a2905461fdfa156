"""The commands of `querywarden`: thin."""
