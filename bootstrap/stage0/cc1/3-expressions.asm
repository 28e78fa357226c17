; 3-expressions: an expression becomes code as it is read.
;
; What has been read is described by kind, type and value (see 1-data). Code is put only when
; it must be, so that `a + b` of two variables becomes: load a, load b to rcx, add.
; Generated code holds values in rax, and keeps on the stack what must wait.

; ---- putting code ----

put_code:                           ; the bytes that stand after the call, which `put` counts
    pop rsi
    movzx ecx, byte [rsi]
    inc rsi
    mov rdi, [code_end]
    rep movsb
    mov [code_end], rdi
    if rdi > code+CODE_SIZE goto no_memory
    push rsi
    ret

put_1:                              ; al
    mov rdi, [code_end]
    mov [rdi], al
    inc rdi
    mov [code_end], rdi
    ret

put_4:                              ; eax
    mov rdi, [code_end]
    mov [rdi], eax
    add rdi, 4
    mov [code_end], rdi
    ret

put_value:                          ; the low four bytes of `value`
    mov rax, [value]
    jmp put_4

; A jump or call to a place that is not known yet holds, in its last four bytes, the address
; of the four bytes of the one before it that waits for the same place, or zero.

put_link:                           ; rax is the last that waits; becomes this one
    mov rdx, [code_end]
    call put_4
    mov rax, rdx
    ret

resolve_here:                       ; those that wait, from rax on, lead to the next instruction
    mov rdx, [code_end]
resolve:                            ; to rdx
    test rax, rax
    je .done
    mov ecx, [rax]
    mov rsi, rdx
    sub rsi, rax
    sub rsi, 4
    mov [rax], esi
    mov eax, ecx
    jmp resolve
.done:
    ret

put_jump:                           ; a jump to rax, known
    put e9
    sub rax, [code_end]
    sub rax, 4
    jmp put_4

join:                               ; rax = those that wait from rax, and then those from rdx
    test rax, rax
    je .first_empty
    mov rsi, rax
.next:
    mov ecx, [rsi]
    test rcx, rcx
    je .end
    mov rsi, rcx
    jmp .next
.end:
    mov [rsi], edx
    ret
.first_empty:
    mov rax, rdx
    ret

; ---- loading ----

load:                               ; to rax
    mov rax, [kind]
    if rax = VALUE goto is_value
    if rax = CONSTANT goto load_constant
    if rax = LOCAL goto load_local
    if rax = GLOBAL goto load_global
    if rax = MEMORY goto load_memory
    if rax = FLAGS goto load_flags
    if rax = WHEN_FALSE goto load_when_false
    put 31 c0 eb 05                 ; WHEN_TRUE: xor eax, eax; jump over the next
    mov rax, [value]
    call resolve_here
    put b8 01 00 00 00              ; mov eax, 1
is_value:
    mov [kind], VALUE
    ret
load_when_false:
    put b8 01 00 00 00 eb 02        ; mov eax, 1; jump over the next
    mov rax, [value]
    call resolve_here
    put 31 c0                       ; xor eax, eax
    jmp is_value
load_constant:
    mov rax, [value]
    movsxd rcx, eax
    cmp rcx, rax
    jne .long
    put 48 c7 c0                    ; mov rax, number of 32 bits
    call put_4
    jmp is_value
.long:
    put 48 b8                       ; mov rax, number of 64 bits
    call put_4
    mov rax, [value+4]
    call put_4
    jmp is_value
load_local:
    put 48 8b 85                    ; mov rax, [rbp+value]
    call put_value
    jmp is_value
load_global:
    put 48 8b 04 25                 ; mov rax, [value]
    call put_value
    jmp is_value
load_memory:
    if [type] = T_CHAR goto .char
    call check_value
    put 48 8b 80                    ; mov rax, [rax+value]
    call put_value
    jmp is_value
.char:
    put 0f b6 80                    ; movzx eax, byte [rax+value]
    call put_value
is_long:                            ; the result is a long in rax
    mov [type], T_LONG
    jmp is_value

check_value:                        ; `type` is that of 8 bytes
    mov rax, [type]
    if al != 0 goto check_done
    if rax = T_LONG goto check_done
    fail "a struct, or void, is no value"
check_done:
    ret

load_flags:
    put 0f                          ; set al if the condition holds
    mov rax, [value]
    add rax, 0x90
    call put_1
    put c0 0f b6 c0                 ; movzx eax, al
    jmp is_value

; A right operand is read after its left one was pushed. If no code came of it, it is a
; constant or a variable: then the push is taken back and the operand goes straight to rcx.

load_right:                         ; rdx is code_end after the push: left to rax, right to rcx
    cmp rdx, [code_end]
    je .simple
    call load
    put 48 89 c1 58                 ; mov rcx, rax; pop rax
    ret
.simple:
    dec [code_end]
    mov rax, [kind]
    if rax = LOCAL goto .local
    if rax = GLOBAL goto .global
    mov rax, [value]
    movsxd rcx, eax
    cmp rcx, rax
    jne .long
    put 48 c7 c1                    ; mov rcx, number of 32 bits
    jmp put_value
.long:
    put 48 b9                       ; mov rcx, number of 64 bits
    call put_value
    mov rax, [value+4]
    jmp put_4
.local:
    put 48 8b 8d                    ; mov rcx, [rbp+value]
    jmp put_value
.global:
    put 48 8b 0c 25                 ; mov rcx, [value]
    jmp put_value

; ---- jumping ----

branch_false:                       ; jump if it is 0; rax are those that wait, becomes more
    mov rcx, [kind]
    if rcx = WHEN_FALSE goto join_value
    if rcx = WHEN_TRUE goto false_when_true
    push rax
    call put_test
    pop rax
    xor rdx, 1                      ; the opposite condition
put_branch:                         ; a jump by the condition rdx
    put 0f
    push rax
    mov rax, rdx
    add rax, 0x80
    call put_1
    pop rax
    jmp put_link
join_value:
    mov rdx, [value]
    jmp join
false_when_true:
    put e9
    call put_link
    push rax
    mov rax, [value]
    call resolve_here
    pop rax
    ret

branch_true:                        ; jump if it is not 0
    mov rcx, [kind]
    if rcx = WHEN_TRUE goto join_value
    if rcx = WHEN_FALSE goto .when_false
    push rax
    call put_test
    pop rax
    jmp put_branch
.when_false:
    put e9
    call put_link
    push rax
    mov rax, [value]
    call resolve_here
    pop rax
    ret

put_test:                           ; rdx = the condition that shows it is not 0
    if [kind] != FLAGS goto .load
    mov rdx, [value]
    ret
.load:
    call load
    put 48 85 c0                    ; test rax, rax
    mov edx, 5                      ; ne
    ret

; ---- sizes ----

size_of:                            ; rax = the bytes of one of the type rax
    mov rcx, rax
    and rcx, 255
    jne .eight
    shr rax, 8
    if rax = 1 goto .done
    if rax = 0 goto .one            ; void counts as char
    if rax = 2 goto .eight
    lea rcx, [rax+rax*2]
    lea rcx, [rcx*8+structs]
    mov rax, [rcx+STRUCT_SIZE]
    test rax, rax
    je .unknown
.done:
    ret
.one:
    mov eax, 1
    ret
.eight:
    mov eax, 8
    ret
.unknown:
    fail "a struct that is not defined"

element_size:                       ; rax = the bytes of what the type rax points to
    test al, al
    je .none
    dec rax
    jmp size_of
.none:
    mov eax, 1
    ret

; ---- operators ----

; Left in rax, right in rcx, of the types `type` and right_type; each puts the code and says
; what the result is.

add:
    mov rax, [type]
    test al, al
    je .left_long
    call scale_right
    put 48 01 c8                    ; add rax, rcx
    jmp is_value
.left_long:
    mov rax, [right_type]
    mov [type], rax
    call element_size
    if rax = 1 goto .add
    put 48 69 c0                    ; imul rax, rax, number
    call put_4
.add:
    put 48 01 c8                    ; add rax, rcx
    mov rax, [type]
    test al, al
    je is_long
    jmp is_value

scale_right:                        ; rcx in elements of `type` to bytes
    mov rax, [type]
    call element_size
    if rax = 1 goto .done
    if rax = 8 goto .eight
    put 48 69 c9                    ; imul rcx, rcx, number
    jmp put_4
.eight:
    put 48 c1 e1 03                 ; shl rcx, 3
.done:
    ret

subtract:
    mov rax, [type]
    test al, al
    je .plain
    mov rax, [right_type]
    test al, al
    jne .pointers
    call scale_right
    put 48 29 c8                    ; sub rax, rcx
    jmp is_value
.pointers:
    put 48 29 c8                    ; sub rax, rcx
    mov rax, [type]
    call element_size
    put b9                          ; mov ecx, number
    call put_4
    put 48 99 48 f7 f9              ; cqo; idiv rcx
    jmp is_long
.plain:
    put 48 29 c8                    ; sub rax, rcx
    jmp is_long

multiply:
    put 48 0f af c1                 ; imul rax, rcx
    jmp is_long
divide:
    put 48 99 48 f7 f9              ; cqo; idiv rcx
    jmp is_long
remainder:
    put 48 99 48 f7 f9 48 89 d0     ; cqo; idiv rcx; mov rax, rdx
    jmp is_long
bits_and:
    put 48 21 c8                    ; and rax, rcx
    jmp is_long
bits_or:
    put 48 09 c8                    ; or rax, rcx
    jmp is_long
bits_xor:
    put 48 31 c8                    ; xor rax, rcx
    jmp is_long
shift_left:
    put 48 d3 e0                    ; shl rax, cl
    jmp is_long
shift_right:
    put 48 d3 f8                    ; sar rax, cl
    jmp is_long

; The conditions, as instructions of x86 number them.
equal:
    mov eax, 4
    jmp compare
not_equal:
    mov eax, 5
    jmp compare
less:
    mov eax, 12
    jmp compare
greater_equal:
    mov eax, 13
    jmp compare
less_equal:
    mov eax, 14
    jmp compare
greater:
    mov eax, 15
compare:
    put 48 39 c8                    ; cmp rax, rcx
is_flags:
    mov [value], rax
    mov [kind], FLAGS
    mov [type], T_LONG
    ret

; ---- binary operators by precedence ----

OPERATOR_LEVEL = 8
OPERATOR_ROUTINE = 16
OPERATOR_SIZE = 24
LEVEL_OR = 1
LEVEL_AND = 2
LEVEL_LAST = 10

operators:                          ; word, level (higher binds stronger), routine
    operator '|'+TWICE 1 either
    operator '&'+TWICE 2 both
    operator '|' 3 bits_or
    operator '^' 4 bits_xor
    operator '&' 5 bits_and
    operator '='+TWICE 6 equal
    operator '!'+EQUAL 6 not_equal
    operator '<' 7 less
    operator '<'+EQUAL 7 less_equal
    operator '>' 7 greater
    operator '>'+EQUAL 7 greater_equal
    operator '<'+TWICE 8 shift_left
    operator '>'+TWICE 8 shift_right
    operator '+' 9 add
    operator '-' 9 subtract
    operator '*' 10 multiply
    operator '/' 10 divide
    operator '%' 10 remainder
    quad 0

find_operator:                      ; rdx = the entry of the word rax; ZF: there is none
    mov rdx, operators
.next:
    cmp rax, [rdx]
    je .found
    add rdx, OPERATOR_SIZE
    mov rcx, [rdx]
    test rcx, rcx
    jne .next
    ret
.found:
    test rdx, rdx
    ret

binary:                             ; read operands joined by operators of the level rax or above
    push rax
    call unary
.next:
    mov rax, [token]
    call find_operator
    je .done
    mov rax, [rdx+OPERATOR_LEVEL]
    cmp rax, [rsp]
    jl .done
    push rdx
    call next
    pop rdx
    mov rax, [rdx+OPERATOR_LEVEL]
    if rax = LEVEL_OR goto .either
    if rax = LEVEL_AND goto .both
    push binary_operand
    push rdx
    call operate
    add rsp, 16
    jmp .next
.either:
    call either
    jmp .next
.both:
    call both
    jmp .next
.done:
    pop rax
    ret

binary_operand:                     ; the right operand of the operator rdx
    mov rax, [rdx+OPERATOR_LEVEL]
    inc rax
    jmp binary

operate:                            ; on the stack: the operator's entry, a routine that reads its
    call load                       ; right operand
    put 50                          ; push rax
    push [type]
    push [code_end]
    mov rdx, [rsp+24]
    mov rax, [rsp+32]
    call rax
    pop rdx
    call load_right
    mov rax, [type]
    mov [right_type], rax
    pop [type]
    mov rdx, [rsp+8]
    mov rax, [rdx+OPERATOR_ROUTINE]
    jmp rax

either:                             ; LEFT || the right operand that is read now
    xor eax, eax
    call branch_true
    push rax
    mov eax, LEVEL_OR+1
    call binary
    pop rax
    call branch_true
    mov ecx, WHEN_TRUE
    jmp is_jumps
both:                               ; LEFT && the right operand that is read now
    xor eax, eax
    call branch_false
    push rax
    mov eax, LEVEL_AND+1
    call binary
    pop rax
    call branch_false
    mov ecx, WHEN_FALSE
is_jumps:
    mov [value], rax
    mov [kind], rcx
    mov [type], T_LONG
    ret

; ---- conditional and assignment ----

expression:
    mov eax, 1
    call binary
    mov rax, [token]
    if rax = '?' goto choose
    if rax = '=' goto assign
    if rax < EQUAL goto expression_done
    if rax >= ARROW goto expression_done
    sub rax, EQUAL                  ; += and the like
    if rax = '=' goto expression_done
    call find_operator
    jne assign_operate
expression_done:
    ret

choose:                             ; LEFT ? A : B
    xor eax, eax
    call branch_false
    push rax
    call next
    call expression
    call load
    mov eax, ':'
    call expect
    pop rdx
    push [type]
    put e9                          ; over B
    push rdx
    xor eax, eax
    call put_link
    pop rdx
    push rax
    mov rax, rdx
    call resolve_here
    call expression
    call load
    pop rax
    call resolve_here
    pop rax
    test al, al
    je expression_done              ; the type of B, if A is not a pointer
    mov [type], rax
    ret

check_place:                        ; what was read can be assigned to
    mov rax, [kind]
    if rax = LOCAL goto .yes
    if rax = GLOBAL goto .yes
    if rax = MEMORY goto .yes
    fail "this cannot be assigned to"
.yes:
    ret

keep_address:                       ; of MEMORY, on the stack of the program
    if [kind] != MEMORY goto expression_done
    put 50                          ; push rax
    ret

assign:                             ; LEFT = the right side that is read now
    call check_place
    call keep_address
    push [kind]
    push [type]
    push [value]
    call next
    call expression
    call load
    jmp store
assign_operate:                     ; LEFT op= the right side that is read now
    call check_place
    push rdx
    call keep_address
    pop rdx
    push [kind]
    push [type]
    push [value]
    push expression
    push rdx
    call next
    call operate
    add rsp, 16
    call load
store:                              ; rax to the place on the stack: value, type, kind
    pop [value]
    pop [type]
    pop [kind]
    mov rax, [kind]
    if rax = LOCAL goto .local
    if rax = GLOBAL goto .global
    if [type] = T_CHAR goto .char
    call check_value
    put 59 48 89 81                 ; pop rcx; mov [rcx+value], rax
    call put_value
    jmp is_value
.char:
    put 59 88 81                    ; pop rcx; mov [rcx+value], al
    call put_value
    jmp is_long
.local:
    put 48 89 85                    ; mov [rbp+value], rax
    call put_value
    jmp is_value
.global:
    put 48 89 04 25                 ; mov [value], rax
    call put_value
    jmp is_value

; ---- ++ and -- ----

set_step:                           ; by the word, ++ or --, and the type
    mov rax, [type]
    call element_size
    if [token] = '+'+TWICE goto .up
    neg rax
.up:
    mov [step], rax
    ret

put_step:                           ; add it to the variable, or to what lies at rcx + value
    mov rax, [kind]
    if rax = LOCAL goto .local
    if rax = GLOBAL goto .global
    if [type] = T_CHAR goto .char
    put 48 81 81                    ; add qword [rcx+value], step
    jmp .rest
.char:
    put 80 81                       ; add byte [rcx+value], step
    call put_value
    mov rax, [step]
    jmp put_1
.local:
    put 48 81 85                    ; add qword [rbp+value], step
    jmp .rest
.global:
    put 48 81 04 25                 ; add qword [value], step
.rest:
    call put_value
    mov rax, [step]
    jmp put_4

step_before:                        ; ++PLACE
    call check_place
    if [kind] != MEMORY goto .put
    put 48 89 c1                    ; mov rcx, rax
.put:
    call put_step
    jmp load

step_after:                         ; PLACE++
    call check_place
    call set_step
    push [kind]
    push [type]
    if [kind] != MEMORY goto .load
    put 48 89 c1                    ; mov rcx, rax
.load:
    call load
    pop [type]
    pop [kind]
    call put_step
    if [type] = T_CHAR goto is_long
    jmp is_value

; ---- prefix operators ----

unary:
    mov rax, [token]
    if rax = '-' goto negate
    if rax = '!' goto not
    if rax = '~' goto complement
    if rax = '*' goto follow
    if rax = '&' goto address
    if rax = '+'+TWICE goto step_prefix
    if rax = '-'+TWICE goto step_prefix
    if rax = SIZEOF goto size
    if rax = '(' goto cast
    jmp postfix

negate:
    call next
    call unary
    if [kind] = CONSTANT goto .constant
    call load
    put 48 f7 d8                    ; neg rax
    jmp is_long
.constant:
    mov rax, [value]
    neg rax
    mov [value], rax
    mov [type], T_LONG
    ret

complement:
    call next
    call unary
    call load
    put 48 f7 d0                    ; not rax
    jmp is_long

not:
    call next
    call unary
    mov rax, [kind]
    mov ecx, WHEN_TRUE
    if rax = WHEN_FALSE goto .jumps
    mov ecx, WHEN_FALSE
    if rax = WHEN_TRUE goto .jumps
    call put_test
    mov rax, rdx
    xor rax, 1                      ; the opposite condition
    jmp is_flags
.jumps:
    mov [kind], rcx
    ret

follow:                             ; *POINTER
    call next
    call unary
    call load
follow_loaded:                      ; what the pointer in rax points to
    mov rax, [type]
    test al, al
    je .long
    dec rax
    mov [type], rax
    mov [kind], MEMORY
    mov [value], 0
    ret
.long:
    fail "not a pointer"

address:                            ; &PLACE
    call next
    call unary
    call check_place
    inc [type]
    if rax = LOCAL goto .local
    if rax = GLOBAL goto .global
    put 48 05                       ; add rax, value
    call put_value
    jmp is_value
.local:
    put 48 8d 85                    ; lea rax, [rbp+value]
    call put_value
    jmp is_value
.global:
    mov [kind], CONSTANT
    ret

step_prefix:                        ; the step depends on a type that is not read yet
    push [token]
    call next
    call unary
    pop rax
    push [token]
    mov [token], rax
    call set_step
    pop [token]
    jmp step_before

size:                               ; sizeof(TYPE)
    call next
    mov eax, '('
    call expect
    call type_name
    push rax
    mov eax, ')'
    call expect
    pop rax
    call size_of
number_constant:                    ; the number rax
    mov [value], rax
    mov [kind], CONSTANT
    mov [type], T_LONG
    ret

cast:                               ; (TYPE)E or (E)
    call next
    call at_type
    jne .brackets
    call variable_type
    push rax
    mov eax, ')'
    call expect
    call unary
    if [kind] = CONSTANT goto .typed
    call load
.typed:
    pop [type]
    ret
.brackets:
    call expression
    mov eax, ')'
    call expect
    jmp postfix_next

; ---- postfix operators ----

postfix:
    call primary
postfix_next:
    mov rax, [token]
    if rax = '[' goto index
    if rax = ARROW goto member
    if rax = '+'+TWICE goto .step
    if rax = '-'+TWICE goto .step
    ret
.step:
    call step_after
    call next
    jmp postfix_next

index_operator:
    operator '[' 0 add
index:                              ; POINTER[E]
    call next
    push expression
    push index_operator
    call operate
    add rsp, 16
    mov eax, ']'
    call expect
    call follow_loaded
    jmp postfix_next

member:                             ; POINTER->NAME
    call load
    call next
    call take_name
    mov [fail_name], rax
    mov rcx, [type]
    if cl != 1 goto .none
    shr rcx, 8
    lea rcx, [rcx+rcx*2]
    lea rcx, [rcx*8+structs]
.next:
    mov rcx, [rcx]                  ; STRUCT_MEMBERS and MEMBER_NEXT are 0
    test rcx, rcx
    je .none
    cmp rax, [rcx+MEMBER_NAME]
    jne .next
    mov [fail_name], 0
    mov rax, [rcx+MEMBER_TYPE]
    mov [type], rax
    mov rax, [rcx+MEMBER_OFFSET]
    mov [value], rax
    mov [kind], MEMORY
    jmp postfix_next
.none:
    fail "no such member"

; ---- operands ----

primary:
    mov rax, [token]
    if rax = NUMBER goto .number
    if rax = STRING goto .string
    if rax = NAME goto .name
    fail "an operand is missing"
.number:
    push [token_value]
    call next
    pop rax
    jmp number_constant
.string:
    push [token_value]
    call next
    pop [value]
    mov [kind], CONSTANT
    mov [type], T_TEXT
    ret
.name:
    call take_name
    mov rcx, [rax+NAME_KIND]
    test rcx, rcx
    je .undefined
    if rcx >= FUNCTION goto call
    mov [kind], rcx
    mov rcx, [rax+NAME_TYPE]
    mov [type], rcx
    mov rcx, [rax+NAME_VALUE]
    mov [value], rcx
    ret
.undefined:
    mov [fail_name], rax
    fail "not defined"

; Arguments are pushed from the first to the last; the caller takes them off again.
call:                               ; the function rax
    push rax
    push 0                          ; counts the arguments
    mov eax, '('
    call expect
    mov eax, ')'
    call accept
    je .counted
.argument:
    call expression
    call load
    put 50                          ; push rax
    inc [rsp]
    mov eax, ','
    call accept
    je .argument
    mov eax, ')'
    call expect
.counted:
    pop rdx
    pop rax
    cmp rdx, [rax+NAME_COUNT]
    jne .count
    mov rcx, [rax+NAME_TYPE]
    mov [type], rcx
    mov rcx, [rax+NAME_KIND]
    if rcx = SYSCALL goto .syscall
    push rdx
    push rax
    put e8                          ; call
    mov rax, [rax+NAME_CALLS]
    call put_link
    pop rdx
    mov [rdx+NAME_CALLS], rax
    pop rax
    test rax, rax
    je is_value
    put 48 81 c4                    ; add rsp, 8 for each argument
    shl rax, 3
    call put_4
    jmp is_value
.syscall:
    put 41 5a 5a 5e 5f 58 0f 05     ; pop r10, rdx, rsi, rdi, rax; syscall
    jmp is_long
.count:
    mov [fail_name], rax
    fail "a wrong number of arguments"
