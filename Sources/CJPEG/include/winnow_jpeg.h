#pragma once
// JPEG pictures with libjpeg, whose errors end in a long jump that Swift must not see.

#include <stddef.h>
#include <stdint.h>

// Size of the error text, with its terminating zero.
enum { WINNOW_JPEG_MESSAGE = 256 };

// Decodes a picture of at most `pixels_max` pixels to `*rgb`, [row][column][3], which the caller frees. Returns 0, or
// -1 if the picture cannot be decoded, and `message` says why. Grey pictures become RGB; CMYK is refused.
int winnow_jpeg_decode(const uint8_t *bytes, size_t count, size_t pixels_max, uint8_t **rgb, int32_t *width,
                       int32_t *height, char *message);
