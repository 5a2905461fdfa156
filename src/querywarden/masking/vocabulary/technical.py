"""Words for addresses and identifiers of machines, and for secrets."""

from __future__ import annotations

IPS = """
ip ips ip_address ip_addresses ipaddress ip_addr ipaddr ipv4 ipv6 ip4 ip6 ip_v4 ip_v6 client_ip remote_ip source_ip src_ip dst_ip
dest_ip peer_ip host_ip user_ip login_ip last_ip remote_addr remote_address client_addr client_address forwarded_for
x_forwarded_for forwarded_ip inet_address adresse_ip direccion_ip indirizzo_ip endereco_ip ip_adresse ip_adres adres_ip ip_adresi
"""

MACS = "mac mac_address macaddress mac_addr macaddr hardware_address hw_address ethernet_address bluetooth_address bssid"

DEVICES = """
imei imsi meid iccid esn udid idfa idfv gaid aaid android_id device_id deviceid device_identifier device_uuid device_serial
advertising_id device_fingerprint browser_fingerprint client_fingerprint hardware_id installation_id geraete_id
"""

PASSWORDS = """
password passwords passwd passwrd pswd pwd pw pass user_password user_pass userpass userpwd db_password db_pass new_password old_password
temp_password temporary_password plaintext_password password_plain passphrase pass_phrase current_password
passwort kennwort benutzerpasswort mot_de_passe motdepasse mdp contrasena contrasenya palabra_clave senha palavra_passe
wachtwoord haslo heslo sifre parola kullanici_sifre losenord passord adgangskode salasana jelszo parola_utilizator parool lozinka
zaporka geslo parol pin pin_code pincode_secret pin_number
"""

PASSWORD_HASHES = """
password_hash passwordhash hashed_password password_digest encrypted_password crypted_password enc_password password_encrypted
password_hashed pass_hash passhash pwd_hash pwdhash pw_hash password_salt passwordsalt salt pwd_salt pass_salt salt_hash
passwort_hash passworthash mot_de_passe_hash senha_hash password_md5 password_sha1 password_sha256 hash_contrasena
"""  # noqa: S105 - words, not a password

SECRETS = """
token tokens access_token accesstoken refresh_token refreshtoken id_token auth_token authtoken authentication_token authorization_token
bearer_token session_token sessiontoken session_key sessionkey sessid csrf_token xsrf_token reset_token password_reset_token
reset_password_token confirmation_token activation_token verification_token invite_token invitation_token remember_token
remember_me_token api_token apitoken oauth_token oauth_token_secret device_token push_token magic_link_token unlock_token
personal_access_token webhook_token bot_token jwt jwt_token token_secret
api_key apikey api_keys app_key secret secrets secret_key secretkey client_secret clientsecret app_secret shared_secret webhook_secret
consumer_secret signing_secret signing_key encryption_key private_key privatekey privkey access_key accesskey access_key_id
secret_access_key master_key ssh_key ssh_private_key pgp_private_key hmac_key service_account_key storage_key license_key_secret
credential credentials auth_credentials connection_string connectionstring conn_string connection_url database_url dsn_secret
otp otp_secret otp_code totp totp_secret mfa_secret two_factor_secret twofactorsecret two_factor_code recovery_code recovery_codes
backup_code backup_codes verification_code one_time_code security_code cvv cvc cvv2 cvc2 csc card_verification
security_answer secret_answer answer_hash security_question_answer session_data cookie cookies session_cookie auth_code
authorization_code code_verifier activation_code reset_code unlock_code seed_phrase mnemonic nonce_secret
zugangstoken geheimnis geheimer_schluessel api_schluessel cle_api cle_secrete jeton clave_api clave_secreta clave_privada
chave_api chave_secreta chiave_api chiave_segreta api_sleutel klucz_api api_anahtari tajny_klucz kodfras api_avain
"""
