#ifndef WINNOW_VERSION_H
#define WINNOW_VERSION_H

/// The build's commit (`WINNOW_COMMIT` in the environment of `swift build`), or an empty text.
const char *_Nonnull winnow_commit(void);

#endif
