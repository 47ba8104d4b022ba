#include "winnow_version.h"

#ifndef WINNOW_COMMIT
#define WINNOW_COMMIT ""
#endif

const char *winnow_commit(void) { return WINNOW_COMMIT; }
