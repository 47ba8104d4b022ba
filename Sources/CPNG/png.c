#include "winnow_png.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t left;
} source;

static void fail(png_structp png, png_const_charp text) {
    snprintf(png_get_error_ptr(png), WINNOW_PNG_MESSAGE, "%s", text);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void take(png_structp png, png_bytep target, size_t count) {
    source *from = png_get_io_ptr(png);
    if (count > from->left) png_error(png, "it is cut short");
    memcpy(target, from->bytes, count);
    from->bytes += count;
    from->left -= count;
}

int winnow_png_decode(const uint8_t *bytes, size_t count, size_t pixels_max, uint8_t **rgb, int32_t *width,
                      int32_t *height, char *message) {
    source from = {bytes, count};
    // Kept in memory rather than in registers, for after the jump.
    uint8_t *volatile pixels = NULL;
    png_bytep *volatile rows = NULL;
    png_infop volatile info = NULL;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, message, fail, ignore);
    if (!png) {
        snprintf(message, WINNOW_PNG_MESSAGE, "there is no memory");
        return -1;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_infop made = info;
        png_destroy_read_struct(&png, &made, NULL);
        free(pixels);
        free((void *)rows);
        return -1;
    }
    info = png_create_info_struct(png);
    if (!info) png_error(png, "there is no memory");
    png_set_read_fn(png, &from, take);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_ALWAYS, (png_const_bytep) "acTL", 1);
    png_read_info(png, info);
    png_unknown_chunkp unknown;
    if (png_get_unknown_chunks(png, info, &unknown) > 0) png_error(png, "it is animated");
    if (png_get_bit_depth(png, info) == 16) png_error(png, "it has 16 bits for a value where 8 are read");
    const size_t columns = png_get_image_width(png, info), height_rows = png_get_image_height(png, info);
    if (columns * height_rows > pixels_max) png_error(png, "it has too many pixels");
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const size_t row_bytes = png_get_rowbytes(png, info);
    if (row_bytes != columns * 3) png_error(png, "its form is not known");
    pixels = malloc(row_bytes * height_rows);
    rows = malloc(height_rows * sizeof *rows);
    if (!pixels || !rows) png_error(png, "there is no memory");
    for (size_t row = 0; row < height_rows; row++) rows[row] = pixels + row * row_bytes;
    png_read_image(png, rows);
    *width = (int32_t)columns;
    *height = (int32_t)height_rows;
    *rgb = pixels;
    free((void *)rows);
    png_infop made = info;
    png_destroy_read_struct(&png, &made, NULL);
    return 0;
}
